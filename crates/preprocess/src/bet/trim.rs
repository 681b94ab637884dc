//! Taking away what a surface may enclose besides the brain: muscle, fat and marrow behind thin bone.
//!
//! Muscle and fat hang together with the brain by little more than partial volume. Of all tissue
//! inside the surface, shrunk a little, the largest component is the brain; grown again and closed over
//! sulci and ventricles it bounds the mask.

use brainreel_volume::crop::{crop, mask_box, pad};
use brainreel_volume::morphology::{dilate, erode, fill_holes, largest_component};
use brainreel_volume::{Mask, Volume};

use super::brightness::Brightness;
use super::head::Head;

/// Tissue is brighter than this share of the way from dark to what tissue is like around: above fluid,
/// below grey matter.
const TISSUE_SHARE: f64 = 0.6;

/// By how much tissue is shrunk to part it from muscle and fat, in mm. More would cut thin gyri.
const PART_MM: f64 = 1.3;

/// By how much it is grown again.
const REGROW_MM: f64 = PART_MM + 1.0;

/// Sulci of up to twice this width are closed.
const CLOSE_MM: f64 = 10.0;

/// How far the mask may reach beyond the closed brain: fluid, and partial volume.
const MARGIN_MM: f64 = 1.5;

/// The part of `mask` that belongs to the brain.
pub(super) fn trim(volume: &Volume<f32>, mask: &Mask, head: &Head) -> Mask {
    let closest_mm = volume.grid().spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
    let Some(region) = mask_box(mask) else { return mask.clone() };
    // Room to grow.
    let region = region.padded(padding_voxels(closest_mm), mask.dims());
    let (Ok(near), Ok(inside)) = (crop(volume, &region), crop(mask, &region)) else { return mask.clone() };
    let tissue = tissue(&near, &inside, head);
    let core = largest_component(&erode(&tissue, PART_MM.max(closest_mm)));
    let brain = both(&dilate(&core, REGROW_MM.max(2.0 * closest_mm)), &tissue);
    let closed = erode(&fill_holes(&dilate(&brain, CLOSE_MM)), CLOSE_MM - MARGIN_MM);
    let trimmed = fill_holes(&largest_component(&both(&closed, &inside)));
    pad(&trimmed, &region, mask.grid(), false).unwrap_or_else(|_| mask.clone())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few dozen voxels; saturates")]
fn padding_voxels(closest_mm: f64) -> usize {
    (CLOSE_MM / closest_mm).ceil() as usize + 1
}

fn tissue(volume: &Volume<f32>, inside: &Mask, head: &Head) -> Mask {
    let brightness = Brightness::new(volume, inside, 0.5 * head.median);
    Volume::from_fn(*volume.grid(), |at| {
        let limit = head.dark + TISSUE_SHARE * (brightness.at(at) - head.dark);
        *inside.at(at) && f64::from(*volume.at(at)) > limit
    })
}

fn both(a: &Mask, b: &Mask) -> Mask {
    let mut both = a.clone();
    for (a, b) in both.as_mut_slice().iter_mut().zip(b.as_slice()) {
        *a &= b;
    }
    both
}
