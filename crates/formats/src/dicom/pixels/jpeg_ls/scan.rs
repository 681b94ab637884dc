//! The samples of a scan.

use super::JpegLsFault;
use super::bits::Bits;

/// Run-length orders (table J of A.2.1).
const J: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/// Number of regular contexts. Two more are for run interruption samples.
const N_CONTEXTS: usize = 365;
const RUN_CONTEXT: usize = N_CONTEXTS;

/// Coding parameters and derived values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters {
    max_value: i32,
    near: i32,
    thresholds: [i32; 3],
    reset: i32,
    range: i32,
    qbpp: u32,
    limit: u32,
}

impl Parameters {
    pub(super) fn new(max_value: i32, near: i32, thresholds: [i32; 3], reset: i32) -> Self {
        let range = (max_value + 2 * near) / (2 * near + 1) + 1;
        let bits_for = |n: i32| 32 - (n - 1).leading_zeros();
        let bpp = bits_for(max_value + 1).max(2);
        let limit = 2 * (bpp + bpp.max(8));
        Self { max_value, near, thresholds, reset, range, qbpp: bits_for(range), limit }
    }

    /// Region of a local gradient (A.3.3).
    fn region(&self, gradient: i32) -> i32 {
        let [t1, t2, t3] = self.thresholds;
        let size = gradient.abs();
        let region = if size <= self.near {
            0
        } else if size < t1 {
            1
        } else if size < t2 {
            2
        } else if size < t3 {
            3
        } else {
            4
        };
        region * gradient.signum()
    }

    /// The sample from its prediction and the quantized error (A.4.5, A.5.3).
    fn sample(&self, predicted: i32, error: i32) -> i32 {
        let step = 2 * self.near + 1;
        let mut sample = predicted + error * step;
        if sample < -self.near {
            sample += self.range * step;
        } else if sample > self.max_value + self.near {
            sample -= self.range * step;
        }
        sample.clamp(0, self.max_value)
    }
}

/// Variables of a context: A, B, C and N of the recommendation.
#[derive(Debug, Clone, Copy)]
struct Context {
    magnitude: i32,
    bias: i32,
    correction: i32,
    count: i32,
}

impl Context {
    /// Order of the Golomb code, for a sum of magnitudes (A.5.1).
    fn order(&self, magnitude: i32) -> u32 {
        let mut k = 0;
        while k < 24 && (self.count << k) < magnitude {
            k += 1;
        }
        k
    }

    /// A.6.
    fn update(&mut self, error: i32, parameters: &Parameters) {
        self.bias += error * (2 * parameters.near + 1);
        self.magnitude += error.abs();
        if self.count == parameters.reset {
            self.magnitude >>= 1;
            self.bias >>= 1;
            self.count >>= 1;
        }
        self.count += 1;
        if self.bias <= -self.count {
            self.bias = (self.bias + self.count).max(1 - self.count);
            self.correction = (self.correction - 1).max(-128);
        } else if self.bias > 0 {
            self.bias = (self.bias - self.count).min(0);
            self.correction = (self.correction + 1).min(127);
        }
    }
}

/// The state of a scan.
pub(super) struct Scan<'a> {
    parameters: Parameters,
    bits: Bits<'a>,
    contexts: Vec<Context>,
    /// Counts of negative errors at run interruptions, of both kinds.
    n_negative: [i32; 2],
    run_index: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(parameters: Parameters, bytes: &'a [u8]) -> Self {
        let magnitude = ((parameters.range + 32) / 64).max(2);
        let fresh = Context { magnitude, bias: 0, correction: 0, count: 1 };
        Self {
            parameters,
            bits: Bits::new(bytes),
            contexts: vec![fresh; N_CONTEXTS + 2],
            n_negative: [0; 2],
            run_index: 0,
        }
    }

    pub(super) fn decode(mut self, columns: usize, rows: usize) -> Result<Vec<u16>, JpegLsFault> {
        let mut samples = Vec::new();
        // One margin sample on either side represents the neighbours outside the image.
        let mut above = vec![0; columns + 2];
        let mut line = vec![0; columns + 2];
        for _ in 0..rows {
            line[0] = above[1];
            above[columns + 1] = above[columns];
            self.line(&above, &mut line, columns)?;
            samples.extend(line[1..=columns].iter().map(|&sample| sample as u16));
            std::mem::swap(&mut above, &mut line);
        }
        Ok(samples)
    }

    fn line(&mut self, above: &[i32], line: &mut [i32], columns: usize) -> Result<(), JpegLsFault> {
        let mut x = 1;
        while x <= columns {
            let [ra, rb, rc, rd] = [line[x - 1], above[x], above[x - 1], above[x + 1]];
            let regions = [rd - rb, rb - rc, rc - ra].map(|gradient| self.parameters.region(gradient));
            if regions == [0; 3] {
                x = self.run(above, line, x, columns)?;
            } else {
                line[x] = self.regular(regions, [ra, rb, rc])?;
                x += 1;
            }
        }
        Ok(())
    }

    /// A sample in regular mode (A.4 to A.6).
    fn regular(&mut self, [q1, q2, q3]: [i32; 3], [ra, rb, rc]: [i32; 3]) -> Result<i32, JpegLsFault> {
        let signed_context = 81 * q1 + 9 * q2 + q3;
        let sign = signed_context.signum();
        let context = self.contexts[signed_context.unsigned_abs() as usize];
        let k = context.order(context.magnitude);
        let mapped = self.golomb(k, self.parameters.limit)?;
        let half = mapped >> 1;
        let is_odd = mapped & 1 == 1;
        let mirrored = self.parameters.near == 0 && k == 0 && 2 * context.bias <= -context.count;
        let error = if is_odd == mirrored { half } else { -half - 1 };
        if error.abs() > self.parameters.range {
            return Err(JpegLsFault::Damaged("an error beyond the range"));
        }
        self.contexts[signed_context.unsigned_abs() as usize].update(error, &self.parameters);
        let edge = if rc >= ra.max(rb) {
            ra.min(rb)
        } else if rc <= ra.min(rb) {
            ra.max(rb)
        } else {
            ra + rb - rc
        };
        let predicted = (edge + sign * context.correction).clamp(0, self.parameters.max_value);
        Ok(self.parameters.sample(predicted, sign * error))
    }

    /// Decodes a run from `x` and its interruption sample (A.7). Returns the next column.
    fn run(
        &mut self,
        above: &[i32],
        line: &mut [i32],
        mut x: usize,
        columns: usize,
    ) -> Result<usize, JpegLsFault> {
        let ra = line[x - 1];
        while self.bits.take(1)? == 1 {
            let length = 1_usize << J[self.run_index];
            let end = (x + length).min(columns + 1);
            line[x..end].fill(ra);
            if end - x == length && self.run_index < 31 {
                self.run_index += 1;
            }
            x = end;
            if x > columns {
                return Ok(x);
            }
        }
        let order = J[self.run_index];
        let end = x + self.bits.take(order)? as usize;
        if end > columns {
            return Err(JpegLsFault::Damaged("a run beyond the end of its line"));
        }
        line[x..end].fill(ra);
        line[end] = self.run_end(ra, above[end], order)?;
        self.run_index = self.run_index.saturating_sub(1);
        Ok(end + 1)
    }

    /// The run interruption sample (A.7.2).
    fn run_end(&mut self, ra: i32, rb: i32, order: u32) -> Result<i32, JpegLsFault> {
        let kind = usize::from((ra - rb).abs() <= self.parameters.near);
        let context = self.contexts[RUN_CONTEXT + kind];
        let magnitude = context.magnitude + if kind == 1 { context.count >> 1 } else { 0 };
        let k = context.order(magnitude);
        let mapped = self.golomb(k, self.parameters.limit - order - 1)?;
        let doubled = mapped + kind as i32;
        let is_odd = doubled & 1;
        let size = (doubled + is_odd) / 2;
        let mostly_negative = k != 0 || 2 * self.n_negative[kind] >= context.count;
        let error = if mostly_negative == (is_odd == 1) { -size } else { size };
        if size > self.parameters.range {
            return Err(JpegLsFault::Damaged("an error beyond the range"));
        }
        self.update_run(kind, error, mapped);
        let sign = if kind == 0 && ra > rb { -1 } else { 1 };
        let predicted = if kind == 1 { ra } else { rb };
        Ok(self.parameters.sample(predicted, sign * error))
    }

    fn update_run(&mut self, kind: usize, error: i32, mapped: i32) {
        let (context, n_negative) = (&mut self.contexts[RUN_CONTEXT + kind], &mut self.n_negative[kind]);
        *n_negative += i32::from(error < 0);
        context.magnitude += (mapped + 1 - kind as i32) >> 1;
        if context.count == self.parameters.reset {
            context.magnitude >>= 1;
            context.count >>= 1;
            *n_negative >>= 1;
        }
        context.count += 1;
    }

    /// A Golomb code of order `k` and limited length (A.5.3).
    fn golomb(&mut self, k: u32, limit: u32) -> Result<i32, JpegLsFault> {
        let escape = limit.saturating_sub(self.parameters.qbpp + 1);
        let high = self.bits.zeros(escape)?;
        let value = if high < escape {
            u64::from(high) << k | u64::from(self.bits.take(k)?)
        } else {
            u64::from(self.bits.take(self.parameters.qbpp)?) + 1
        };
        i32::try_from(value)
            .ok()
            .filter(|&value| value <= 1 << 20)
            .ok_or(JpegLsFault::Damaged("a huge error"))
    }
}
