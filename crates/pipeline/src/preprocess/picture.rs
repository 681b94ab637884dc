//! The picture of one scan, for a person to judge it at a glance.

use brainreel_figure::{Panel, Plane, Shading, Sheet, Window};
use brainreel_preprocess::{BiasStage, Preprocessed, QcRecord};
use brainreel_volume::crop::{BoundingBox, crop, mask_box};
use brainreel_volume::{Mask, Volume};

use super::quality;

/// Voxels shown around the brain.
const MARGIN_VOXELS: usize = 4;

/// Gain that is shown as full red or blue.
const MOST_GAIN: f64 = 1.6;

/// Head with the mask's contour, brain before and after bias correction, the field, the network input;
/// three planes of each.
pub(super) fn draw(scan_id: &str, done: &Preprocessed) -> String {
    let (qc, stages) = (&done.qc, &done.stages);
    let mut columns = vec![if stages.brain_mask.is_some() { "head and brain mask" } else { "head" }];
    let mut pictures = vec![head(&stages.head, stages.brain_mask.as_ref())];
    if let Some(bias) = &stages.bias {
        columns.extend(["before bias correction", "bias field", "after"]);
        pictures.extend(around_bias(bias));
    } else {
        columns.push("resampled");
        pictures.push(middle_slices(&crop_to(&stages.uncropped, &stages.foreground), bright(qc)));
    }
    columns.push("network input");
    pictures.push(middle_slices(&done.network_input, bright(qc)));

    let sheet = Sheet::new(scan_id).columns(&columns).note(&numbers(qc)).note(
        "For research use only. Left is the patient's left. Blue: the field is dark there, red: bright.",
    );
    let sheet = qc.warnings.iter().fold(sheet, |sheet, warning| sheet.warning(&warning.to_string()));
    let mut pictures: Vec<_> = pictures.into_iter().map(IntoIterator::into_iter).collect();
    Plane::ALL
        .iter()
        .fold(sheet, |sheet, plane| {
            sheet.row(plane.name(), pictures.iter_mut().map(Iterator::next).collect())
        })
        .to_svg()
}

fn numbers(qc: &QcRecord) -> String {
    let extractor = qc.foreground.extractor.as_deref().unwrap_or("none");
    let extractor = extractor.split(" (").next().unwrap_or(extractor); // without the hash
    let spacing = qc.input.spacing_mm.map(|mm| format!("{mm:.2}")).join(" x ");
    let highlights = quality::highlights(qc);
    let metrics: Vec<String> = highlights
        .iter()
        .filter(|(_, value)| value != "n/a")
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let cube = qc.resolution.network_spacing_mm.map(|mm| format!("{mm:.2}")).join(" x ");
    format!(
        "extractor {extractor} | scan {} at {spacing} mm, network input at {cube} mm | {}",
        qc.input.orientation,
        metrics.join(" | ")
    )
}

/// From black to a little above the brightest tissue.
fn bright(qc: &QcRecord) -> Shading {
    let high = qc.foreground_intensity.p99 * 1.1;
    Shading::Grey(Window { low: 0.0, high: if high > 0.0 { high } else { 1.0 } })
}

fn head(head: &Volume<f32>, mask: Option<&Mask>) -> [Panel; 3] {
    let mut values: Vec<f32> = head.as_slice().iter().step_by(7).copied().collect();
    let high = brightness_percentile(&mut values);
    let low = f64::from(values.iter().copied().fold(f32::INFINITY, f32::min));
    let shading = Shading::Grey(Window { low: low.min(0.0), high: high.max(low + f64::EPSILON) });
    let center = mask.and_then(mask_box).map_or_else(
        || head.dims().map(|n| n / 2),
        |found| [0, 1, 2].map(|axis| usize::midpoint(found.start()[axis], found.end()[axis])),
    );
    Plane::ALL.map(|plane| {
        let index = center[plane.axis()];
        let panel = Panel::of(head, plane, index, shading);
        match mask {
            Some(mask) => panel.with_contour(mask, index),
            None => panel,
        }
    })
}

/// The brightness that only one voxel in a hundred has.
fn brightness_percentile(values: &mut [f32]) -> f64 {
    let at = values.len() * 99 / 100;
    let (_, found, _) = values.select_nth_unstable_by(at.min(values.len() - 1), f32::total_cmp);
    f64::from(*found)
}

/// Before, field and after, with one window for both images.
fn around_bias(bias: &BiasStage) -> [[Panel; 3]; 3] {
    let before = crop_to(&bias.before, &bias.region);
    let region = crop_to(&bias.region, &bias.region);
    let mut field = crop_to(&bias.field, &bias.region);
    let mut after = before.clone();
    for (value, gain) in after.as_mut_slice().iter_mut().zip(field.as_slice()) {
        *value /= gain;
    }
    for (gain, inside) in field.as_mut_slice().iter_mut().zip(region.as_slice()) {
        if !inside {
            *gain = 1.0;
        }
    }
    let inside = before.as_slice().iter().zip(region.as_slice()).filter(|(_, inside)| **inside);
    let mut values: Vec<f32> = inside.map(|(value, _)| *value).step_by(3).collect();
    let high = if values.is_empty() { 1.0 } else { brightness_percentile(&mut values) * 1.1 };
    let shading = Shading::Grey(Window { low: 0.0, high: high.max(f64::MIN_POSITIVE) });
    let field = middle_slices(&field, Shading::Gain(MOST_GAIN));
    [middle_slices(&before, shading), field, middle_slices(&after, shading)]
}

/// The part of a volume around a mask.
fn crop_to<T: Copy>(volume: &Volume<T>, mask: &Mask) -> Volume<T> {
    let whole = BoundingBox::new([0; 3], volume.dims());
    let found = mask_box(mask).map(|found| found.padded(MARGIN_VOXELS, volume.dims())).or(whole.ok());
    found.and_then(|found| crop(volume, &found).ok()).unwrap_or_else(|| {
        let grid = *volume.grid();
        Volume::from_fn(grid, |at| *volume.at(at))
    })
}

fn middle_slices(volume: &Volume<f32>, shading: Shading) -> [Panel; 3] {
    Plane::ALL.map(|plane| Panel::of(volume, plane, volume.dims()[plane.axis()] / 2, shading))
}
