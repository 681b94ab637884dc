//! The engine's side of `bench/engine`: reads commands from standard input, answers each with one line of
//! JSON. `prepare CASE` builds a case, `run` times one pass, `profile` each layer of one, `output FILE` writes
//! what it computed as little-endian `f32`, `memory` tells the peak.
//!
//! Policies: `fast`, `accurate`, `bf16` for weights in that format, and `batch` for norms by the batch. Cases: `conv NAME ALGORITHM`, `net ARCHITECTURE POLICY [trunk]`, `synthstrip POLICY [MEGABYTES]`. Weights and inputs are
//! those of `reference/formula.py`.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use std::error::Error;
use std::fs;
use std::io::{BufRead, Write, stdin, stdout};
use std::time::Instant;

use brainreel_engine::{
    Activation, ConvShape, Network, Node, NormMode, Options, Policy, Program, WeightFormat,
};
use brainreel_kernels::{
    Buffer, DirectConv, Epilogue, Input, InstructionSet, Layout, Map, MapMut, PlanarConv, TileSize,
    WinogradConv, from_blocked, to_blocked,
};
use brainreel_models::{Architecture, whole_network};
use brainreel_synthstrip::{synthstrip_convs, synthstrip_network};

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../models/tests/formula/mod.rs"]
mod formula;

/// Something to time.
enum Case {
    Program(Box<Program>, Vec<f32>),
    Conv(Box<ConvCase>),
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut case = None;
    for line in stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words.as_slice() {
            ["prepare", rest @ ..] => {
                drop(case.take()); // give the memory back first
                let start = Instant::now();
                case = Some(prepare(rest)?);
                format!("{{\"seconds\": {}}}", start.elapsed().as_secs_f64())
            }
            ["run"] => {
                let case = case.as_mut().ok_or("nothing is prepared")?;
                let start = Instant::now();
                case.run()?;
                format!("{{\"seconds\": {}}}", start.elapsed().as_secs_f64())
            }
            ["profile"] => {
                let seconds = case.as_mut().ok_or("nothing is prepared")?.profile()?;
                format!("{{\"seconds\": {seconds:.4?}}}")
            }
            ["output", path] => {
                let case = case.as_ref().ok_or("nothing is prepared")?;
                let bytes: Vec<u8> = case.output().iter().flat_map(|x| x.to_le_bytes()).collect();
                fs::write(path, bytes)?;
                "{}".to_owned()
            }
            ["memory"] => format!("{{\"peak_gb\": {}}}", peak_gb()),
            _ => return Err(format!("no command {line:?}").into()),
        };
        println!("{answer}");
        stdout().flush()?;
    }
    Ok(())
}

fn peak_gb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1e6
}

fn options(policy: &str) -> Result<Options, Box<dyn Error>> {
    let policy = match policy {
        "fast" => Policy::Fast,
        "accurate" => Policy::Accurate,
        "batch" => return Ok(Options { norm: NormMode::Batch, ..Options::default() }),
        "bf16" => return Ok(Options { weights: WeightFormat::Bf16, ..Options::default() }),
        other => return Err(format!("no policy {other}").into()),
    };
    Ok(Options { policy, ..Options::default() })
}

fn prepare(words: &[&str]) -> Result<Case, Box<dyn Error>> {
    Ok(match words {
        ["conv", name, algorithm] => Case::Conv(Box::new(ConvCase::new(name, algorithm)?)),
        ["net", architecture, policy, rest @ ..] => {
            let architecture: Architecture = architecture.parse()?;
            let whole = whole_network(&formula::state_dict_of(architecture));
            let (network, mut output) = whole.ok_or("the engine does not compute this network")?;
            if rest == ["trunk"] {
                // layer4 of R3D-18 has two blocks: five convolutions with the shortcut.
                output = network.before(output, 5);
            }
            let program = Program::new(&network, output, [128; 3], 1, &options(policy)?)?;
            Case::Program(Box::new(program), formula::numbers("cube128", 128 * 128 * 128))
        }
        ["synthstrip", policy, limit @ ..] => {
            let dims = [192, 256, 192];
            let (network, output) = synthstrip();
            let limit = limit.first().map(|megabytes| megabytes.parse::<usize>()).transpose()?;
            let options =
                Options { max_memory_bytes: limit.map(|megabytes| megabytes << 20), ..options(policy)? };
            let program = Program::new(&network, output, dims, 1, &options)?;
            Case::Program(Box::new(program), formula::numbers("head", dims.iter().product()))
        }
        other => return Err(format!("no case {other:?}").into()),
    })
}

fn synthstrip() -> (Network, Node) {
    let convs = synthstrip_convs();
    synthstrip_network(|name| {
        let conv = convs.iter().find(|conv| name.starts_with(&format!("{}.", conv.name)));
        let shape = conv.expect("names of the network").shape;
        let (n, scale) = if name.ends_with("bias") {
            (shape.channels_out, 0.05)
        } else {
            (shape.n_weights(), 1.0 / ((shape.channels_in * shape.n_taps()) as f32).sqrt())
        };
        formula::numbers(name, n).into_iter().map(|x| scale * x).collect()
    })
}

impl Case {
    fn run(&mut self) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Program(program, input) => program.execute(input, |_| true)?,
            Self::Conv(conv) => conv.run(),
        }
        Ok(())
    }

    /// Seconds of each layer.
    fn profile(&mut self) -> Result<Vec<f64>, Box<dyn Error>> {
        let Self::Program(program, input) = self else { return Err("a convolution has no layers".into()) };
        let mut starts = Vec::new();
        program.execute(input, |_| {
            starts.push(Instant::now());
            true
        })?;
        starts.push(Instant::now());
        Ok(starts.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect())
    }

    fn output(&self) -> Vec<f32> {
        match self {
            Self::Program(program, _) => program.output(),
            Self::Conv(conv) => conv.values(),
        }
    }
}

/// A convolution of the table.
struct ConvCase {
    packed: Packed,
    input: Buffer,
    planar: Vec<f32>,
    dims: [usize; 3],
    from: Layout,
    output: Buffer,
    to: Layout,
    scratch: Buffer,
    bias: Vec<f32>,
}

enum Packed {
    Planar(PlanarConv),
    Direct(DirectConv),
    Winograd(WinogradConv),
}

fn shape_of(name: &str) -> Result<(ConvShape, [usize; 3]), Box<dyn Error>> {
    let same = |c, k| ConvShape::same(c, k, [3; 3]);
    let down = |c, k| ConvShape { stride: [2; 3], ..same(c, k) };
    Ok(match name {
        "l1" => (same(64, 64), [128, 64, 64]),
        "l2" => (same(128, 128), [64, 32, 32]),
        "l3" => (same(256, 256), [32, 16, 16]),
        "l4" => (same(512, 512), [16, 8, 8]),
        "u16" => (same(16, 16), [192, 256, 192]),
        "u48" => (same(48, 16), [192, 256, 192]),
        "d2" => (down(64, 128), [128, 64, 64]),
        "d3" => (down(128, 256), [64, 32, 32]),
        "d4" => (down(256, 512), [32, 16, 16]),
        "stem" => (ConvShape { stride: [1, 2, 2], ..ConvShape::same(1, 64, [3, 7, 7]) }, [128; 3]),
        other => return Err(format!("no convolution {other}").into()),
    })
}

impl ConvCase {
    fn new(name: &str, algorithm: &str) -> Result<Self, Box<dyn Error>> {
        let (shape, dims) = shape_of(name)?;
        let isa = InstructionSet::detect();
        let weights = formula::numbers(&format!("{name}.weight"), shape.n_weights());
        let planar = formula::numbers(name, shape.channels_in * dims.iter().product::<usize>());
        let winograd = |size| Packed::Winograd(WinogradConv::new(shape, size, &weights));
        let packed = match algorithm {
            "planar" => Packed::Planar(PlanarConv::new(shape, &weights)),
            "direct" => Packed::Direct(DirectConv::new(shape, &weights)),
            "222" => winograd(TileSize::Two),
            "244" => winograd(TileSize::TwoFour),
            "444" => winograd(TileSize::Four),
            other => return Err(format!("no algorithm {other}").into()),
        };
        let ((low, high), scratch_len) = match &packed {
            Packed::Planar(conv) => (([0; 3], [0; 3]), conv.scratch_len(dims)),
            Packed::Direct(conv) => (conv.halo(dims), 0),
            Packed::Winograd(conv) => (conv.halo(dims), conv.scratch_len(isa, dims, 1)),
        };
        let from = Layout::new(shape.channels_in, dims).with_halo(low, high);
        let blocked = !matches!(packed, Packed::Planar(_));
        let mut input = Buffer::zeroed(if blocked { from.image() } else { 0 });
        if blocked {
            to_blocked(&planar, &mut MapMut::new(input.as_mut_slice(), from));
        }
        // A large map in both layouts is more than bench/engine's processes have room for.
        let planar = if blocked { Vec::new() } else { planar };
        let to = Layout::new(shape.channels_out, shape.output_dims(dims)).with_halo([1; 3], [1; 3]);
        Ok(Self {
            packed,
            input,
            planar,
            dims,
            from,
            output: Buffer::zeroed(to.image()),
            to,
            scratch: Buffer::zeroed(scratch_len),
            bias: formula::numbers(&format!("{name}.bias"), shape.channels_out),
        })
    }

    fn run(&mut self) {
        let isa = InstructionSet::detect();
        let epilogue = Epilogue { bias: &self.bias, residual: None, activation: Activation::Relu };
        let mut output = MapMut::new(self.output.as_mut_slice(), self.to);
        let scratch = self.scratch.as_mut_slice();
        let map = || Map::new(self.input.as_slice(), self.from);
        match &self.packed {
            Packed::Planar(conv) => {
                conv.forward(isa, (&self.planar, self.dims), &mut output, &epilogue, scratch);
            }
            Packed::Direct(conv) => conv.forward(isa, &[map()], &mut output, &epilogue),
            Packed::Winograd(conv) => {
                let input = Input { map: map(), upsampled: false };
                conv.forward(isa, &[input], &mut output, &epilogue, scratch);
            }
        }
    }

    fn values(&self) -> Vec<f32> {
        let mut planar = vec![0.0; self.to.channels * self.to.n_voxels()];
        from_blocked(&Map::new(self.output.as_slice(), self.to), &mut planar);
        planar
    }
}
