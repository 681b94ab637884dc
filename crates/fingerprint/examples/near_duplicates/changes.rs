//! Changes that turn a scan into a near-duplicate.

use std::error::Error;

use brainreel_artifact::Random;
use brainreel_preprocess::{BrainExtractor, ExtractionError, PreprocessConfig, preprocess_with_brain};
use brainreel_simulate::RenderedHead;
use brainreel_volume::crop::{BoundingBox, crop, pad};
use brainreel_volume::reorient::to_closest_canonical;
use brainreel_volume::resample::{resample_onto, resample_to_spacing};
use brainreel_volume::{Affine, Grid, Mask, Volume};

pub(crate) type Made = Result<Volume<f32>, Box<dyn Error>>;

/// A named change of a scan; the number seeds what is random in it.
pub(crate) struct Change {
    pub(crate) name: &'static str,
    pub(crate) make: fn(&RenderedHead, u64) -> Made,
}

const fn change(name: &'static str, make: fn(&RenderedHead, u64) -> Made) -> Change {
    Change { name, make }
}

/// Every change of the table.
pub(crate) const CHANGES: [Change; 39] = [
    change("same voxels, other header", |head, _| without_header(&head.image)),
    change("intensity x 1.7 + 30", |head, _| Ok(head.image.map(|v| 1.7 * v + 30.0))),
    change("gamma 0.7", |head, _| Ok(gamma(&head.image, 0.7))),
    change("gamma 1.4", |head, _| Ok(gamma(&head.image, 1.4))),
    change("noise 2 %", |head, seed| Ok(noise(&head.image, 0.02, seed))),
    change("noise 4 %", |head, seed| Ok(noise(&head.image, 0.04, seed))),
    change("noise 6 %", |head, seed| Ok(noise(&head.image, 0.06, seed))),
    change("8 bit", |head, _| Ok(eight_bit(&head.image))),
    change("blur, SD 0.7 voxel", |head, _| Ok(blur(&head.image, 0.7))),
    change("blur, SD 1 voxel", |head, _| Ok(blur(&head.image, 1.0))),
    change("shift 1 voxel, first axis", |head, _| Ok(shift(&head.image, [1, 0, 0]))),
    change("shift 1 voxel, second axis", |head, _| Ok(shift(&head.image, [0, 1, 0]))),
    change("shift 1 voxel, third axis", |head, _| Ok(shift(&head.image, [0, 0, 1]))),
    change("shift 4, 3, 2 voxels", |head, _| Ok(shift(&head.image, [4, 3, 2]))),
    change("shift half a voxel, interpolated", |head, _| moved(&head.image, [0.5; 3], 0.0)),
    change("flip left-right", |head, _| Ok(flip(&head.image))),
    change("flip left-right, cropped", |head, _| trim(&flip(&head.image), [5, 3, 4])),
    change("cropped 3 to 8 voxels", |head, _| trim(&head.image, [5, 8, 3])),
    change("cropped, header lost", |head, _| without_header(&trim(&head.image, [5, 8, 3])?)),
    change("padded, header lost", |head, _| without_header(&grow(&head.image)?)),
    change("resampled to 0.9 mm", |head, _| to_spacing(&head.image, 0.9)),
    change("resampled to 0.9 mm and back", |head, _| and_back(&head.image, 0.9)),
    change("resampled to 1.1 mm and back", |head, _| and_back(&head.image, 1.1)),
    change("resampled to 1.5 mm", |head, _| to_spacing(&head.image, 1.5)),
    change("resampled to 2 mm", |head, _| to_spacing(&head.image, 2.0)),
    change("smoothed, resampled to 2 mm", |head, _| to_spacing(&blur(&head.image, 0.8), 2.0)),
    change("resampled to 1 mm, no obliqueness", |head, _| straightened(&head.image)),
    change("brain only", |head, _| Ok(brain_only(head))),
    change("bias field removed", |head, _| Ok(unbiased(head))),
    change("brain only, bias field removed", |head, _| Ok(brain_only(&with_image(head, unbiased(head))))),
    change("network input, from whole head", |head, _| network_input(head, false)),
    change("network input, brain only", |head, _| network_input(head, true)),
    change("gamma 1.2, noise 3 %, 8 bit, shift", |head, seed| {
        Ok(shift(&eight_bit(&noise(&gamma(&head.image, 1.2), 0.03, seed)), [1, 1, 0]))
    }),
    change("gamma, noise 2 %, brain, 1.1 mm", |head, seed| {
        to_spacing(&brain_only(&with_image(head, noise(&gamma(&head.image, 0.8), 0.02, seed))), 1.1)
    }),
    change("beyond: noise 10 %", |head, seed| Ok(noise(&head.image, 0.1, seed))),
    change("beyond: noise 15 %", |head, seed| Ok(noise(&head.image, 0.15, seed))),
    change("beyond: blur, SD 1.5 voxels", |head, _| Ok(blur(&head.image, 1.5))),
    change("beyond: rotated by 1 degree", |head, _| moved(&head.image, [0.0; 3], 1.0)),
    change("beyond: rotated by 5 degrees", |head, _| moved(&head.image, [0.0; 3], 5.0)),
];

/// The change of that name; that of another scanner's export besides.
pub(crate) fn by_name(name: &str) -> fn(&RenderedHead, u64) -> Made {
    let export = |head: &RenderedHead, _| Ok(eight_bit(&gamma(&head.image, 0.8)));
    CHANGES.iter().find(|change| change.name == name).map_or(export, |change| change.make)
}

/// The value that noise and contrast are measured by: the 98th percentile, about white matter or fat.
fn bright(image: &Volume<f32>) -> f32 {
    let mut values: Vec<f32> = image.as_slice().iter().step_by(7).copied().collect();
    values.sort_by(f32::total_cmp);
    values.get(values.len() * 98 / 100).copied().unwrap_or(1.0).max(f32::MIN_POSITIVE)
}

fn gamma(image: &Volume<f32>, exponent: f32) -> Volume<f32> {
    let scale = bright(image);
    image.map(|&v| scale * (v.max(0.0) / scale).powf(exponent))
}

/// Adds normal noise; `share` of the bright value.
fn noise(image: &Volume<f32>, share: f32, seed: u64) -> Volume<f32> {
    let sd = share * bright(image);
    let mut random = Random::new(seed);
    image.map(|&v| (v + sd * random.normal() as f32).max(0.0))
}

fn eight_bit(image: &Volume<f32>) -> Volume<f32> {
    let scale = 1.2 * bright(image);
    image.map(|&v| (255.0 * v / scale).round().clamp(0.0, 255.0))
}

fn blur(image: &Volume<f32>, sd_voxels: f32) -> Volume<f32> {
    let taps: Vec<f32> = (-4..=4).map(|t| (-0.5 * (t as f32 / sd_voxels).powi(2)).exp()).collect();
    let sum: f32 = taps.iter().sum();
    let dims = image.dims();
    let mut data = image.as_slice().to_vec();
    for axis in 0..3 {
        let stride: usize = dims[..axis].iter().product();
        let n = dims[axis] as isize;
        let source = data.clone();
        for (at, value) in data.iter_mut().enumerate() {
            let along = (at / stride) as isize % n;
            *value = (-4..=4_isize)
                .zip(&taps)
                .map(|(t, w)| {
                    w * source
                        [at.wrapping_add_signed(((along + t).clamp(0, n - 1) - along) * stride as isize)]
                })
                .sum::<f32>()
                / sum;
        }
    }
    rebuilt(image.grid(), data)
}

/// Moves the image by whole voxels within its field of view; the header stays as it was.
fn shift(image: &Volume<f32>, by: [usize; 3]) -> Volume<f32> {
    Volume::from_fn(*image.grid(), |index| {
        if (0..3).all(|axis| index[axis] >= by[axis]) {
            *image.at([0, 1, 2].map(|axis| index[axis] - by[axis]))
        } else {
            0.0
        }
    })
}

/// Moves the image by a part of a voxel and turns it about the third axis; the header stays.
fn moved(image: &Volume<f32>, voxels: [f64; 3], degrees: f64) -> Made {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let middle = image.dims().map(|n| 0.5 * n as f64);
    let turn = Affine::new([
        [cos, -sin, 0.0, voxels[0]],
        [sin, cos, 0.0, voxels[1]],
        [0.0, 0.0, 1.0, voxels[2]],
        [0.0, 0.0, 0.0, 1.0],
    ])?;
    let about =
        Affine::translation_by(middle).compose(&turn).compose(&Affine::translation_by(middle.map(|x| -x)));
    let from = Grid::new(image.dims(), image.grid().affine().compose(&about))?;
    Ok(rebuilt(image.grid(), resample_onto(image, &from)?.into_vec()))
}

/// Swaps left and right of the voxels; the header stays that of a canonical image.
fn flip(image: &Volume<f32>) -> Volume<f32> {
    let canonical = to_closest_canonical(image);
    let last = canonical.dims()[0] - 1;
    Volume::from_fn(*canonical.grid(), |[i, j, k]| *canonical.at([last - i, j, k]))
}

/// Cuts off voxels: `n` at the start of each axis, half of it at the end.
fn trim(image: &Volume<f32>, n: [usize; 3]) -> Made {
    let end = [0, 1, 2].map(|axis| image.dims()[axis] - n[axis] / 2);
    Ok(crop(image, &BoundingBox::new(n, end)?)?)
}

fn grow(image: &Volume<f32>) -> Made {
    let dims = image.dims();
    let grid = Grid::new(dims.map(|n| n + 13), *image.grid().affine())?;
    let start = [4, 9, 6];
    let region = BoundingBox::new(start, [0, 1, 2].map(|axis| start[axis] + dims[axis]))?;
    Ok(pad(image, &region, &grid, 0.0)?)
}

/// Forgets where the image lay: only the voxel size remains.
fn without_header(image: &Volume<f32>) -> Made {
    let canonical = to_closest_canonical(image);
    let grid = Grid::new(canonical.dims(), Affine::from_diagonal(canonical.grid().spacing_mm()))?;
    Ok(Volume::new(grid, canonical.into_vec())?)
}

fn to_spacing(image: &Volume<f32>, mm: f64) -> Made {
    Ok(resample_to_spacing(image, [mm; 3])?)
}

fn and_back(image: &Volume<f32>, mm: f64) -> Made {
    Ok(resample_onto(&to_spacing(image, mm)?, image.grid())?)
}

/// Resampled to 1 mm along the axes of the scanner, as `conform` steps do.
fn straightened(image: &Volume<f32>) -> Made {
    let (dims, affine) = (image.dims(), image.grid().affine());
    let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
    for corner in 0..8_usize {
        let index = [0, 1, 2].map(|axis| ((corner >> axis & 1) * (dims[axis] - 1)) as f64);
        for (axis, mm) in affine.apply(index).into_iter().enumerate() {
            low[axis] = low[axis].min(mm);
            high[axis] = high[axis].max(mm);
        }
    }
    let out = [0, 1, 2].map(|axis| (high[axis] - low[axis]).ceil() as usize + 1);
    Ok(resample_onto(image, &Grid::new(out, Affine::translation_by(low))?)?)
}

fn brain_only(head: &RenderedHead) -> Volume<f32> {
    let voxels = head.image.as_slice().iter().zip(head.mask.as_slice());
    rebuilt(head.image.grid(), voxels.map(|(&v, &inside)| if inside > 0 { v } else { 0.0 }).collect())
}

fn unbiased(head: &RenderedHead) -> Volume<f32> {
    let voxels = head.image.as_slice().iter().zip(head.bias.as_slice());
    rebuilt(head.image.grid(), voxels.map(|(v, gain)| v / gain).collect())
}

fn with_image(head: &RenderedHead, image: Volume<f32>) -> RenderedHead {
    RenderedHead { image, ..head.clone() }
}

fn rebuilt(grid: &Grid, voxels: Vec<f32>) -> Volume<f32> {
    Volume::new(*grid, voxels).expect("one value a voxel")
}

/// The true mask in the place of an extractor.
struct Truth(Mask);

impl BrainExtractor for Truth {
    fn name(&self) -> &'static str {
        "truth"
    }

    fn extract(&self, _: &Volume<f32>) -> Result<Mask, ExtractionError> {
        Ok(self.0.clone())
    }
}

/// The cube of 128 voxels that training sees, without N4 (the true field is taken out instead).
pub(crate) fn network_input(head: &RenderedHead, brain: bool) -> Made {
    let config = PreprocessConfig::whole_head().validated()?;
    let image = unbiased(head);
    if !brain {
        return Ok(brainreel_preprocess::preprocess(&image, &config)?.network_input);
    }
    let mask = to_closest_canonical(&head.mask).map(|&inside| inside > 0);
    Ok(preprocess_with_brain(&image, &config, &Truth(mask))?.network_input)
}
