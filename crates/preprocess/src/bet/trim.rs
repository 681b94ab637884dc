//! Removes tissue that the surface encloses besides the brain: muscle, fat and marrow behind thin bone.
//!
//! Muscle and fat are connected to the brain by little more than partial volume. The tissue inside the
//! surface is eroded slightly; its largest component is the brain. This is dilated again and closed over
//! sulci and ventricles, and bounds the mask.

use brainreel_volume::crop::{crop, mask_box, pad};
use brainreel_volume::morphology::{dilate, erode, fill_holes, largest_component};
use brainreel_volume::{Mask, Volume};
use rayon::prelude::*;

use super::cells::Cells;
use super::head::Head;

/// Tissue threshold as a fraction between dark and the local tissue intensity: above fluid, below grey
/// matter. It is smaller if the fractional intensity requests a larger brain.
const TISSUE_SHARE: f64 = 0.6;

/// Smallest difference between that fraction and the fractional intensity.
const ABOVE_FRACTION: f64 = 0.1;

/// Erosion radius to separate the brain from muscle and fat, in mm. A larger one would cut thin gyri.
const PART_MM: f64 = 1.3;

/// Dilation radius, in mm.
const REGROW_MM: f64 = PART_MM + 1.0;

/// Additional dilation steps for voxels larger than [`PART_MM`].
const N_COARSE_REGROWTHS: usize = 2;

/// Sulci of up to twice this width are closed.
const CLOSE_MM: f64 = 10.0;

/// Largest distance of the mask from the closed brain: fluid and partial volume.
const MARGIN_MM: f64 = 0.5;

/// Restricts `mask` to the brain.
pub(super) fn trim(volume: &Volume<f32>, mask: &Mask, head: &Head, fractional_intensity: f64) -> Mask {
    let share = TISSUE_SHARE.min(fractional_intensity + ABOVE_FRACTION);
    trimmed(volume, mask, head, share).unwrap_or_else(|| mask.clone())
}

fn trimmed(volume: &Volume<f32>, mask: &Mask, head: &Head, tissue_share: f64) -> Option<Mask> {
    let region = mask_box(mask)?.padded(1, mask.dims());
    let (near, inside) = (crop(volume, &region).ok()?, crop(mask, &region).ok()?);
    let closest_mm = near.grid().spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
    let tissue = tissue(&near, &inside, head, tissue_share);
    let core = largest_component(&erode(&tissue, PART_MM.max(closest_mm)));
    let mut brain = both(&dilate(&core, REGROW_MM.max(2.0 * closest_mm)), &tissue);
    if closest_mm > PART_MM {
        // With such voxels the erosion removes whole gyri. They are restored by dilation within the tissue.
        for _ in 0..N_COARSE_REGROWTHS {
            brain = both(&dilate(&brain, 1.5 * closest_mm), &tissue);
        }
    }
    let depth = Cells::depth(&brain, CLOSE_MM)?;
    let bounded = where_cells(&inside, &depth, |_, depth| f64::from(depth) > CLOSE_MM - MARGIN_MM);
    pad(&fill_holes(&largest_component(&bounded)), &region, mask.grid(), false).ok()
}

#[expect(clippy::cast_possible_truncation, reason = "intensities are single precision")]
fn tissue(volume: &Volume<f32>, inside: &Mask, head: &Head, share: f64) -> Mask {
    let brightness = Cells::brightness(volume, inside, 0.5 * head.median as f32);
    let (dark, share, values) = (head.dark as f32, share as f32, volume.as_slice());
    where_cells(inside, &brightness, |at, brightness| values[at] > dark + share * (brightness - dark))
}

/// The voxels of `mask` for which `is_kept` is true, given their index and the value of a map.
fn where_cells(mask: &Mask, cells: &Cells, is_kept: impl Fn(usize, f32) -> bool + Sync) -> Mask {
    let mut kept = mask.clone();
    let [ni, nj, _] = mask.dims();
    kept.as_mut_slice().par_chunks_mut(ni * nj).enumerate().for_each(|(k, plane)| {
        let mut map = vec![0.0; ni];
        for (j, row) in plane.chunks_mut(ni).enumerate().filter(|(_, row)| row.contains(&true)) {
            cells.row([j, k], &mut map);
            for (i, (kept, value)) in row.iter_mut().zip(&map).enumerate() {
                *kept &= is_kept(i + ni * (j + nj * k), *value);
            }
        }
    });
    kept
}

fn both(a: &Mask, b: &Mask) -> Mask {
    let mut both = a.clone();
    for (a, b) in both.as_mut_slice().iter_mut().zip(b.as_slice()) {
        *a &= b;
    }
    both
}
