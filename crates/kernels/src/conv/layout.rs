//! The blocked layout: `[image][channel / 16][depth][height][width][channel % 16]` in a zero halo.

use crate::LANES;

/// Memory layout of a feature map.
///
/// Channels go in blocks of sixteen, the last one filled up with zeros, so that a vector holds
/// sixteen channels of one voxel. Around each block lies a halo of zeros, `low` voxels before and
/// `high` voxels behind on each axis: convolutions read it as their padding, without code for borders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Channels of the map.
    pub channels: usize,
    /// Depth, height, width.
    pub dims: [usize; 3],
    /// Halo before the first voxel of each axis.
    pub low: [usize; 3],
    /// Halo after the last voxel of each axis.
    pub high: [usize; 3],
}

impl Layout {
    /// A map without halo.
    #[must_use]
    pub const fn new(channels: usize, dims: [usize; 3]) -> Self {
        Self { channels, dims, low: [0; 3], high: [0; 3] }
    }

    /// The same map with a halo.
    #[must_use]
    pub const fn with_halo(self, low: [usize; 3], high: [usize; 3]) -> Self {
        Self { low, high, ..self }
    }

    /// The same memory as a map of `n` planes from `first` on; the planes around them count as halo.
    ///
    /// # Panics
    /// If there are not so many planes.
    #[must_use]
    pub fn slab(self, first: usize, n: usize) -> Self {
        let [depth, height, width] = self.dims;
        assert!(first + n <= depth, "planes {first} to {} of {depth}", first + n);
        let [low, low_height, low_width] = self.low;
        let [high, high_height, high_width] = self.high;
        Self {
            dims: [n, height, width],
            low: [low + first, low_height, low_width],
            high: [high + depth - first - n, high_height, high_width],
            ..self
        }
    }

    /// Blocks of sixteen channels.
    #[must_use]
    pub const fn blocks(&self) -> usize {
        self.channels.div_ceil(LANES)
    }

    /// Row stride in elements (a row has all widths of one depth and height).
    #[must_use]
    pub const fn row(&self) -> usize {
        (self.low[2] + self.dims[2] + self.high[2]) * LANES
    }

    /// Plane stride in elements (a plane is one depth).
    #[must_use]
    pub const fn plane(&self) -> usize {
        (self.low[1] + self.dims[1] + self.high[1]) * self.row()
    }

    /// Channel block stride in elements.
    #[must_use]
    pub const fn block(&self) -> usize {
        (self.low[0] + self.dims[0] + self.high[0]) * self.plane()
    }

    /// Elements per image.
    #[must_use]
    pub const fn image(&self) -> usize {
        self.blocks() * self.block()
    }

    /// Where the first voxel of a block lies in it.
    #[must_use]
    pub const fn origin(&self) -> usize {
        self.low[0] * self.plane() + self.low[1] * self.row() + self.low[2] * LANES
    }

    /// Voxels of an image.
    #[must_use]
    pub const fn n_voxels(&self) -> usize {
        self.dims[0] * self.dims[1] * self.dims[2]
    }

    /// Whether the halo is at least `low` and `high` wide.
    #[must_use]
    pub fn has_halo(&self, low: [usize; 3], high: [usize; 3]) -> bool {
        (0..3).all(|axis| self.low[axis] >= low[axis] && self.high[axis] >= high[axis])
    }
}

/// Images in the blocked layout, read-only.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a> {
    data: &'a [f32],
    layout: Layout,
}

impl<'a> Map<'a> {
    /// Images that follow each other in `data`.
    ///
    /// # Panics
    /// If `data` does not hold whole images of this layout.
    #[must_use]
    pub fn new(data: &'a [f32], layout: Layout) -> Self {
        assert!(
            data.len().is_multiple_of(layout.image().max(1)),
            "{} numbers are not images of {}",
            data.len(),
            layout.image()
        );
        Self { data, layout }
    }

    /// The elements.
    #[must_use]
    pub const fn data(&self) -> &'a [f32] {
        self.data
    }

    /// The layout.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Number of images.
    #[must_use]
    pub fn n_images(&self) -> usize {
        self.data.len() / self.layout.image().max(1)
    }
}

/// Images in the blocked layout, mutable.
#[derive(Debug)]
pub struct MapMut<'a> {
    data: &'a mut [f32],
    layout: Layout,
}

impl<'a> MapMut<'a> {
    /// As [`Map::new`].
    ///
    /// # Panics
    /// If `data` does not hold whole images of this layout.
    #[must_use]
    pub fn new(data: &'a mut [f32], layout: Layout) -> Self {
        let _ = Map::new(data, layout);
        Self { data, layout }
    }

    /// The elements.
    #[must_use]
    pub fn data(&mut self) -> &mut [f32] {
        self.data
    }

    /// The layout.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Number of images.
    #[must_use]
    pub fn n_images(&self) -> usize {
        self.data.len() / self.layout.image().max(1)
    }
}
