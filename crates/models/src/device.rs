//! Where tensors live and are computed.

use brainreel_named::named;
use burn::tensor::Device;

use crate::ModelError;

named! {
    /// A kind of device that a build may or may not have.
    #[derive(Default)]
    pub enum DeviceKind {
        /// The first of CUDA, Metal and Vulkan that this build has, or else the CPU.
        #[default]
        Auto = "auto",
        /// The CPU, with Burn's `flex` backend. In every build.
        Cpu = "cpu",
        /// An NVIDIA GPU (Cargo feature `cuda`).
        Cuda = "cuda",
        /// A GPU through Vulkan (Cargo feature `vulkan`).
        Vulkan = "vulkan",
        /// An Apple GPU (Cargo feature `metal`).
        Metal = "metal",
    }
}

named! {
    /// Who computes convolutions on the CPU. Other devices compute with Burn.
    #[derive(Default)]
    pub enum EngineKind {
        /// brainreel's own engine: Winograd's algorithm on blocked maps.
        #[default]
        Native = "native",
        /// Burn's `flex` backend, for comparison.
        Burn = "burn",
    }
}

impl DeviceKind {
    /// What [`DeviceKind::Auto`] means in this build; any other kind as it is.
    #[must_use]
    pub const fn resolved(self) -> Self {
        match self {
            Self::Auto if cfg!(feature = "cuda") => Self::Cuda,
            Self::Auto if cfg!(feature = "metal") => Self::Metal,
            Self::Auto if cfg!(feature = "vulkan") => Self::Vulkan,
            Self::Auto => Self::Cpu,
            kind => kind,
        }
    }

    /// The first device of this kind, without autodiff.
    ///
    /// # Errors
    /// [`ModelError::NoDevice`] if the build lacks the Cargo feature.
    pub fn open(self) -> Result<Device, ModelError> {
        match self.resolved() {
            Self::Auto | Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "cuda")]
            Self::Cuda => Ok(Device::cuda(0)),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Ok(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(feature = "metal")]
            Self::Metal => Ok(Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(not(all(feature = "cuda", feature = "vulkan", feature = "metal")))]
            kind => Err(ModelError::NoDevice { kind, available: Self::available().join(", ") }),
        }
    }

    /// Names of the kinds this build has.
    #[must_use]
    pub fn available() -> Vec<&'static str> {
        let mut names = vec!["cpu"];
        for (name, built) in [
            ("cuda", cfg!(feature = "cuda")),
            ("vulkan", cfg!(feature = "vulkan")),
            ("metal", cfg!(feature = "metal")),
        ] {
            if built {
                names.push(name);
            }
        }
        names
    }
}
