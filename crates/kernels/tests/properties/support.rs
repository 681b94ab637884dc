//! Seeded numbers, guarded memory and comparisons.

use brainreel_kernels::InstructionSet;

/// Sizes just off the edges of blocks of 8, 16 and 64.
pub(crate) const EDGES: [usize; 15] = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65];

/// Seeded numbers in -1..1.
pub(crate) fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// [`random`] in double precision.
pub(crate) fn random_f64(n: usize, seed: u64) -> Vec<f64> {
    random(n, seed).into_iter().map(f64::from).collect()
}

pub(crate) fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Numbers before and after guarded memory: more than a row of the maps of these tests.
const GUARD: usize = 1 << 12;
/// A NaN that no arithmetic gives: reading it spoils a result, writing over it is seen.
const CANARY: u32 = 0x7FC5_A5A5;

/// Numbers between two stretches of canaries. A kernel that reads beyond its slices gives NaN, one that writes
/// beyond them kills a canary.
pub(crate) struct Guarded {
    memory: Vec<f32>,
}

impl Guarded {
    /// Copies `values` between the canaries.
    pub(crate) fn new(values: &[f32]) -> Self {
        let canary = f32::from_bits(CANARY);
        let mut memory = vec![canary; GUARD];
        memory.extend_from_slice(values);
        memory.resize(memory.len() + GUARD, canary);
        Self { memory }
    }

    /// `len` NaN: numbers that a kernel has to write before it reads them.
    pub(crate) fn poisoned(len: usize) -> Self {
        Self::new(&vec![f32::NAN; len])
    }

    pub(crate) fn get(&self) -> &[f32] {
        &self.memory[GUARD..self.memory.len() - GUARD]
    }

    pub(crate) fn get_mut(&mut self) -> &mut [f32] {
        let end = self.memory.len() - GUARD;
        &mut self.memory[GUARD..end]
    }

    /// Fails if anything was written outside of the numbers.
    #[track_caller]
    pub(crate) fn assert_intact(&self, what: &str) {
        let end = self.memory.len() - GUARD;
        let guards = self.memory[..GUARD].iter().chain(&self.memory[end..]);
        assert!(guards.into_iter().all(|x| x.to_bits() == CANARY), "{what} wrote beyond its memory");
    }
}

/// Root mean square.
pub(crate) fn rms(values: &[f64]) -> f64 {
    (values.iter().map(|x| x * x).sum::<f64>() / values.len().max(1) as f64).sqrt()
}

/// Asserts that `got` differs from `expected` by at most `tolerance` times the root mean square of `expected`.
#[track_caller]
pub(crate) fn assert_near(what: &str, got: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}: number of results");
    let bound = tolerance * rms(expected).max(f64::from(f32::MIN_POSITIVE));
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(got) - expected).abs();
        assert!(error <= bound, "{what}: {i} is {got}, expected {expected} within {bound:.1e}");
    }
}

pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Runs `work` with pools of one, two and three threads and asserts that all give the same bits.
#[track_caller]
pub(crate) fn assert_threads_do_not_matter(what: &str, work: impl Fn() -> Vec<f32> + Sync) {
    let with_threads = |n| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads for a pool");
        bits(&pool.install(&work))
    };
    let one = with_threads(1);
    for n in [2, 3] {
        assert!(with_threads(n) == one, "{what}: {n} threads give other bits than one");
    }
}

/// Calls `check` for every instruction set of the machine.
pub(crate) fn on_every_set(mut check: impl FnMut(InstructionSet)) {
    let sets = InstructionSet::available();
    assert!(sets.contains(&InstructionSet::Scalar), "the scalar set is always there");
    sets.into_iter().for_each(&mut check);
}
