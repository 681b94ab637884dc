//! One slice as an image.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brainreel_volume::{Mask, Volume};

use crate::contour;

/// An anatomical plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// Perpendicular to the first axis: anterior right, superior up.
    Sagittal,
    /// Perpendicular to the second axis: left on the left, superior up.
    Coronal,
    /// Perpendicular to the third axis: left on the left, anterior up.
    Axial,
}

impl Plane {
    /// All three planes.
    pub const ALL: [Self; 3] = [Self::Sagittal, Self::Coronal, Self::Axial];

    /// The axis perpendicular to the plane.
    #[must_use]
    pub const fn axis(self) -> usize {
        match self {
            Self::Sagittal => 0,
            Self::Coronal => 1,
            Self::Axial => 2,
        }
    }

    /// The image axes: to the right and upwards.
    const fn picture_axes(self) -> [usize; 2] {
        match self {
            Self::Sagittal => [1, 2],
            Self::Coronal => [0, 2],
            Self::Axial => [0, 1],
        }
    }

    /// Orientation letters at the left, right, top and bottom.
    pub(crate) const fn letters(self) -> [&'static str; 4] {
        match self {
            Self::Sagittal => ["P", "A", "S", "I"],
            Self::Coronal => ["L", "R", "S", "I"],
            Self::Axial => ["L", "R", "A", "P"],
        }
    }

    /// The name of the plane.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sagittal => "sagittal",
            Self::Coronal => "coronal",
            Self::Axial => "axial",
        }
    }
}

/// Display window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Values at or below this are black.
    pub low: f64,
    /// Values at or above this are white.
    pub high: f64,
}

/// Colour map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shading {
    /// Intensities in grey.
    Grey(Window),
    /// Gain: blue below one, white at one, red above, saturated at this factor.
    Gain(f64),
}

/// An image of a slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    plane: Plane,
    /// Width and height in pixels.
    size: [usize; 2],
    /// Pixel size in mm.
    pixel_mm: [f64; 2],
    png: Vec<u8>,
    contour: Option<String>,
}

impl Panel {
    /// Creates a panel of the slice at `index` of the perpendicular axis, clamped to the volume.
    #[must_use]
    pub fn of(volume: &Volume<f32>, plane: Plane, index: usize, shading: Shading) -> Self {
        let slice = Slice::new(plane, index, volume.dims());
        let values = slice.values(volume);
        let png = match shading {
            Shading::Grey(window) => {
                let grey = |&value: &f32| byte((f64::from(value) - window.low) / (window.high - window.low));
                encode(slice.size, png::ColorType::Grayscale, &values.iter().map(grey).collect::<Vec<u8>>())
            }
            Shading::Gain(most) => {
                let colours: Vec<u8> =
                    values.iter().flat_map(|&gain| diverging(f64::from(gain), most)).collect();
                encode(slice.size, png::ColorType::Rgb, &colours)
            }
        };
        let spacing_mm = volume.grid().spacing_mm();
        let pixel_mm = plane.picture_axes().map(|axis| spacing_mm[axis]);
        Self { plane, size: slice.size, pixel_mm, png, contour: None }
    }

    /// Draws the contour of a mask on the panel's own grid.
    #[must_use]
    pub fn with_contour(mut self, mask: &Mask, index: usize) -> Self {
        let slice = Slice::new(self.plane, index, mask.dims());
        if slice.size == self.size {
            self.contour = Some(contour::path(&slice.values(mask), slice.size));
        }
        self
    }

    /// Width and height in mm.
    pub(crate) fn extent_mm(&self) -> [f64; 2] {
        [0, 1].map(|axis| as_f64(self.size[axis]) * self.pixel_mm[axis])
    }

    pub(crate) const fn plane(&self) -> Plane {
        self.plane
    }

    pub(crate) const fn size(&self) -> [usize; 2] {
        self.size
    }

    pub(crate) fn contour(&self) -> Option<&str> {
        self.contour.as_deref()
    }

    pub(crate) fn data_url(&self) -> String {
        format!("data:image/png;base64,{}", STANDARD.encode(&self.png))
    }
}

/// Location of the pixels of a slice in a volume.
struct Slice {
    plane: Plane,
    index: usize,
    size: [usize; 2],
}

impl Slice {
    fn new(plane: Plane, index: usize, dims: [usize; 3]) -> Self {
        let [right, up] = plane.picture_axes();
        Self { plane, index: index.min(dims[plane.axis()] - 1), size: [dims[right], dims[up]] }
    }

    /// The values row by row, from the top.
    fn values<T: Copy>(&self, volume: &Volume<T>) -> Vec<T> {
        let [right, up] = self.plane.picture_axes();
        let [width, height] = self.size;
        let mut at = [0; 3];
        at[self.plane.axis()] = self.index;
        let mut values = Vec::with_capacity(width * height);
        for v in (0..height).rev() {
            at[up] = v;
            for u in 0..width {
                at[right] = u;
                values.push(*volume.at(at));
            }
        }
        values
    }
}

/// Converts 0..1 to a byte. NaN becomes black.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
fn byte(share: f64) -> u8 {
    (share.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// Blue, white, red, by the logarithm of the gain.
fn diverging(gain: f64, most: f64) -> [u8; 3] {
    let share = (gain.ln() / most.ln()).clamp(-1.0, 1.0);
    let fade = |weight: f64| byte(1.0 - weight * share.abs());
    if share < 0.0 { [fade(0.85), fade(0.6), fade(0.2)] } else { [fade(0.2), fade(0.75), fade(0.85)] }
}

/// Never panics: it writes to memory, and the dimensions match.
fn encode(size: [usize; 2], color: png::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let [width, height] = size.map(|n| u32::try_from(n).expect("an axis of a volume"));
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("the header is valid");
    writer.write_image_data(pixels).expect("as many bytes as the header says");
    drop(writer);
    bytes
}

#[expect(clippy::cast_precision_loss, reason = "a number of pixels")]
pub(crate) const fn as_f64(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use brainreel_volume::{Affine, Grid};

    fn decode(panel: &Panel) -> Vec<u8> {
        let mut reader = png::Decoder::new(std::io::Cursor::new(&panel.png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        pixels
    }

    #[test]
    fn pictures_show_left_on_the_left_and_up_at_the_top() {
        let grid = Grid::new([3, 4, 5], Affine::from_diagonal([1.0, 2.0, 3.0])).unwrap();
        let volume = Volume::from_fn(grid, |[x, y, z]| (x + 10 * y + 50 * z) as f32);
        let shading = Shading::Grey(Window { low: 0.0, high: 255.0 });
        // The first pixel is at the upper left: low on the first image axis, high on the second.
        for (plane, index, size, first, second, extent) in [
            (Plane::Sagittal, 1, [4, 5], 201, 211, [8.0, 15.0]),
            (Plane::Coronal, 2, [3, 5], 220, 221, [3.0, 15.0]),
            (Plane::Axial, 3, [3, 4], 180, 181, [3.0, 8.0]),
        ] {
            let panel = Panel::of(&volume, plane, index, shading);
            let pixels = decode(&panel);
            assert_eq!((panel.size(), pixels[0], pixels[1]), (size, first, second), "{plane:?}");
            assert_eq!(panel.extent_mm().map(f64::to_bits), extent.map(f64::to_bits));
        }
        let beyond = Panel::of(&volume, Plane::Axial, 99, shading);
        assert_eq!(decode(&beyond)[0], 230);
    }

    #[test]
    fn gains_are_blue_white_and_red() {
        let [low, one, high] = [0.5, 1.0, 2.0].map(|gain| diverging(gain, 2.0));
        assert_eq!(one, [255; 3]);
        assert!(low[2] > low[0] && high[0] > high[2]);
        assert_eq!(diverging(100.0, 2.0), high);
    }

    #[test]
    fn what_is_no_number_is_black() {
        assert_eq!((byte(f64::NAN), byte(f64::INFINITY), byte(-1.0)), (0, 255, 0));
    }
}
