//! Writes a picture of simulated heads: a control above, Alzheimer's disease below, each in an
//! axial, a coronal (through the hippocampi) and a sagittal slice.
//!
//! `cargo run --release -p brainreel-simulate --example slices -- OUT.png [SPACING_MM]`

use std::fs::File;
use std::io::BufWriter;

use brainreel_simulate::{Acquisition, Diagnosis, Plane, RenderedHead, SimulateConfig, Subject, render};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Edge of a tile, in pixels of 1 mm.
const TILE: usize = 232;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: slices OUT.png [SPACING_MM]")?;
    let spacing = arguments.next().map_or(Ok(1.0), |text| text.parse::<f64>())?;
    let config = SimulateConfig { n_subjects: 40, ..SimulateConfig::default() };
    let mut picture = vec![0_u8; 3 * TILE * 2 * TILE];
    for (row, diagnosis) in [Diagnosis::Normal, Diagnosis::Alzheimer].into_iter().enumerate() {
        let head = scan(&config, diagnosis, spacing)?;
        for (column, tile) in tiles(&head)?.iter().enumerate() {
            for (y, line) in tile.chunks(TILE).enumerate() {
                let start = (row * TILE + y) * 3 * TILE + column * TILE;
                picture[start..start + TILE].copy_from_slice(line);
            }
        }
    }
    let mut encoder =
        png::Encoder::new(BufWriter::new(File::create(path)?), 3 * TILE as u32, 2 * TILE as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_compression(png::Compression::High);
    encoder.write_header()?.write_image_data(&picture)?;
    Ok(())
}

/// The subject of the group whose severity is typical of it, scanned straight.
fn scan(config: &SimulateConfig, diagnosis: Diagnosis, spacing: f64) -> Outcome<RenderedHead> {
    let typical = if diagnosis == Diagnosis::Alzheimer { 2.2 } else { 0.0 };
    let distance =
        |subject: &Subject| (subject.severity - typical).abs() + 0.1 * (subject.age_years - 74.0).abs();
    let subject = Subject::draw_cohort(config)
        .into_iter()
        .filter(|subject| subject.diagnosis == diagnosis)
        .min_by(|a, b| distance(a).total_cmp(&distance(b)))
        .ok_or("no subject of that diagnosis")?;
    let acquisition =
        Acquisition { noise: 0.02, bias: 0.1, seed: 5, ..Acquisition::plain([spacing; 3], Plane::Sagittal) };
    Ok(render(&subject, &subject.visits[0], &acquisition)?)
}

/// Axial, coronal and sagittal slice, drawn as seen from below, from the front and from the left.
fn tiles(head: &RenderedHead) -> Outcome<[Vec<u8>; 3]> {
    let to_voxel = head.image.grid().affine().inverse()?;
    let value = |world: [f64; 3]| {
        let index = to_voxel.apply(world);
        let dims = head.image.dims();
        let inside = (0..3).all(|axis| index[axis] >= 0.0 && index[axis] <= dims[axis] as f64 - 1.0);
        if inside { linear(head, index) } else { 0.0 }
    };
    let grey = |v: f32| (v / 1300.0 * 255.0).clamp(0.0, 255.0) as u8;
    let tile = |place: &dyn Fn(f64, f64) -> [f64; 3]| {
        let half = TILE as f64 / 2.0;
        let pixels = (0..TILE).flat_map(|y| (0..TILE).map(move |x| (x as f64 - half, half - y as f64)));
        pixels.map(|(right, up)| grey(value(place(right, up)))).collect::<Vec<u8>>()
    };
    Ok([
        tile(&|right, up| [-right, up - 10.0, 14.0]),
        tile(&|right, up| [-right, -19.0, up - 5.0]),
        tile(&|right, up| [-5.0, -right - 8.0, up - 12.0]),
    ])
}

fn linear(head: &RenderedHead, index: [f64; 3]) -> f32 {
    let low = index.map(|v| v.floor() as usize);
    let dims = head.image.dims();
    let mut sum = 0.0;
    for corner in 0..8_usize {
        let offset = [corner & 1, corner >> 1 & 1, corner >> 2];
        let weight: f64 = (0..3)
            .map(|axis| {
                let fraction = index[axis] - low[axis] as f64;
                if offset[axis] == 1 { fraction } else { 1.0 - fraction }
            })
            .product();
        let at = [0, 1, 2].map(|axis| (low[axis] + offset[axis]).min(dims[axis] - 1));
        sum += weight * f64::from(*head.image.at(at));
    }
    sum as f32
}
