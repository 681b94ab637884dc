//! The frozen stages as a program of the engine.

use std::sync::{Mutex, PoisonError};

use brainreel_engine::{
    Activation, Conv, ConvShape, Network, Node, Norm, NormMode, Options, Policy, Program,
};
use burn::tensor::{Device, Tensor, TensorData};

use crate::convnet::{ConvLayer, ConvNormSpec, Part};
use crate::norm::NormStatistics;
use crate::weights::NetworkWeights;
use brainreel_checkpoint::StateDict;

/// All layers of a network in front of the classifier, for the engine alone; `None` if the engine cannot compute
/// one of them.
#[must_use]
pub fn whole_network(weights: &NetworkWeights) -> Option<(Network, Node)> {
    let config = weights.config();
    let specs = config.architecture.backbone().layers(config.dims, config.n_classes);
    let (_, specs) = specs.split_last()?;
    let layers: Option<Vec<ConvLayer>> = specs.iter().map(|spec| spec.for_engine().cloned()).collect();
    let built = network(&layers?, weights.state());
    Some((built.network, built.output))
}

/// A network for the engine.
pub(crate) struct Built {
    network: Network,
    output: Node,
    /// For every batch norm in torchvision's order, its number in the engine's, where the shortcut's comes
    /// before the convolution that adds it.
    norm_order: Vec<usize>,
}

/// A network of the given layers with the weights of `state`.
pub(crate) fn network(layers: &[ConvLayer], state: &StateDict) -> Built {
    let convolutions = || layers.iter().flat_map(ConvLayer::all_convolutions);
    let channels = convolutions().next().map_or(1, |conv| conv.channels_in);
    let mut network = Builder { network: Network::new(channels), added: Vec::new() };
    let mut node = network.network.input();
    for part in layers.iter().flat_map(|layer| &layer.parts) {
        node = match part {
            Part::Conv(conv) => network.add(node, conv, state, None, Activation::Relu),
            Part::Residual { main, shortcut } => network.add_block(node, main, shortcut.as_ref(), state),
            Part::MaxPool(_) | Part::Branches(_) => unreachable!("`LayerSpec::for_engine` refuses them"),
        };
    }
    let place = |conv: &ConvNormSpec| network.added.iter().position(|name| *name == conv.conv);
    let norm_order = convolutions().map(|conv| place(conv).expect("every convolution was added")).collect();
    Built { network: network.network, output: node, norm_order }
}

struct Builder {
    network: Network,
    /// Names of the convolutions so far.
    added: Vec<String>,
}

impl Builder {
    fn add_block(
        &mut self,
        input: Node,
        main: &[ConvNormSpec],
        shortcut: Option<&ConvNormSpec>,
        state: &StateDict,
    ) -> Node {
        let shortcut = match shortcut {
            Some(conv) => self.add(input, conv, state, None, Activation::None),
            None => input,
        };
        let mut node = input;
        for (i, conv) in main.iter().enumerate() {
            // The shortcut joins before the last activation.
            let residual = (i + 1 == main.len()).then_some(shortcut);
            node = self.add(node, conv, state, residual, Activation::Relu);
        }
        node
    }

    fn add(
        &mut self,
        input: Node,
        spec: &ConvNormSpec,
        state: &StateDict,
        residual: Option<Node>,
        activation: Activation,
    ) -> Node {
        let norm = |field: &str| state.tensor(&format!("{}.{field}", spec.norm)).values.clone();
        let conv = Conv {
            shape: ConvShape {
                channels_in: spec.channels_in,
                channels_out: spec.channels_out,
                kernel: spec.kernel,
                stride: spec.stride,
                padding: spec.padding,
            },
            weights: state.tensor(&format!("{}.weight", spec.conv)).values.as_slice().into(),
            bias: Vec::new(),
            norm: Some(Norm {
                gamma: norm("weight"),
                beta: norm("bias"),
                mean: norm("running_mean"),
                variance: norm("running_var"),
                epsilon: spec.constants.epsilon,
            }),
            residual,
            activation,
        };
        self.added.push(spec.conv.clone());
        self.network.conv(input, conv).expect("the architecture's shapes fit each other")
    }
}

/// Runs the frozen stages on the engine. Programs are compiled when they are first needed, and the last
/// one is kept.
#[derive(Debug)]
pub(crate) struct NativeTrunk {
    policy: Policy,
    program: Mutex<Option<(Key, Program, Vec<usize>)>>,
}

/// What a program was compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    norm: NormMode,
    n_images: usize,
    dims: [usize; 3],
}

impl Clone for NativeTrunk {
    /// Without the program: it is compiled anew when needed.
    fn clone(&self) -> Self {
        Self::new(self.policy)
    }
}

impl NativeTrunk {
    pub(crate) const fn new(policy: Policy) -> Self {
        Self { policy, program: Mutex::new(None) }
    }

    /// What decides the bits of the result beside the weights.
    pub(crate) fn tag(&self) -> String {
        format!("native {:?}", self.policy)
    }

    /// Drops the program: the weights have changed.
    pub(crate) fn forget(&mut self) {
        *self.program.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Output of the stages, and with [`NormMode::Batch`] the statistics in front of each batch norm.
    ///
    /// # Panics
    /// If the input is too small for the network.
    pub(crate) fn forward(
        &self,
        x: Tensor<5>,
        norm: NormMode,
        build: impl FnOnce() -> Built,
    ) -> (Tensor<5>, Vec<NormStatistics>) {
        let [n_images, _, d, h, w] = x.dims();
        let device = x.device();
        let key = Key { norm, n_images, dims: [d, h, w] };
        let mut kept = self.program.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|(of, ..)| *of != key) {
            *kept = None; // give the memory back before more is taken
            let Built { network, output, norm_order } = build();
            let options = Options { policy: self.policy, norm, ..Options::default() };
            let program = Program::new(&network, output, key.dims, n_images, &options)
                .unwrap_or_else(|error| panic!("the trunk does not fit its input: {error}"));
            *kept = Some((key, program, norm_order));
        }
        let (_, program, norm_order) = kept.as_mut().expect("compiled above");
        let data = x.into_data();
        let values = data.as_slice::<f32>().expect("inputs are single precision");
        let output = program.run(values).expect("the program was compiled for this input");
        let [depth, height, width] = program.output_dims();
        let shape = [n_images, program.output_channels(), depth, height, width];
        let moments = program.moments();
        let statistics = norm_order.iter().filter_map(|&i| moments.get(i)).map(|moments| {
            let n = moments.n as f64;
            NormStatistics::from_moments(&moments.channels, n / (n - 1.0).max(1.0), &device)
        });
        let statistics = statistics.collect();
        (Tensor::from_data(TensorData::new(output, shape), &device), statistics)
    }

    /// As `device` and `x` allow.
    pub(crate) fn takes(device: &Device) -> bool {
        *device == Device::flex()
    }
}
