//! JPEG, baseline and lossless, and JPEG 2000: decoded by other crates, after their sizes are checked.

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};
use jpeg_decoder::{Decoder, PixelFormat};

use super::super::header::SliceFormat;
use super::Fault;

/// Decodes a JPEG of one component: its samples.
pub(super) fn decode(stream: &[u8], format: &SliceFormat) -> Result<Vec<u16>, Fault> {
    let frame = FrameHeader::find(stream).ok_or("there is no JPEG frame")?;
    if [frame.columns, frame.rows] != [format.columns, format.rows] {
        return Err("the JPEG frame is not of the size that the header says".into());
    }
    if frame.n_components != 1 {
        return Err(format!("a JPEG of {} components, expected 1", frame.n_components).into());
    }
    if frame.precision > 8 && !frame.lossless {
        return Err(Fault::Unsupported(format!("a lossy JPEG of {} bits", frame.precision)));
    }
    let mut decoder = Decoder::new(stream);
    decoder.set_max_decoding_buffer_size(2 * format.n_pixels());
    let bytes = decoder.decode().map_err(|error| error.to_string())?;
    match decoder.info().map(|info| info.pixel_format) {
        Some(PixelFormat::L8) => Ok(bytes.into_iter().map(u16::from).collect()),
        Some(PixelFormat::L16) => {
            Ok(bytes.as_chunks().0.iter().map(|&word| u16::from_ne_bytes(word)).collect())
        }
        _ => Err("a JPEG in colour".into()),
    }
}

/// Parameters of a JPEG frame header.
struct FrameHeader {
    lossless: bool,
    precision: u8,
    columns: u16,
    rows: u16,
    n_components: u8,
}

impl FrameHeader {
    fn find(stream: &[u8]) -> Option<Self> {
        let mut position = 2;
        loop {
            let &[0xff, marker, high, low, ..] = stream.get(position..)? else { return None };
            if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
                let &[precision, y0, y1, x0, x1, n_components, ..] = stream.get(position + 4..)? else {
                    return None;
                };
                return Some(Self {
                    lossless: marker == 0xc3,
                    precision,
                    columns: u16::from_be_bytes([x0, x1]),
                    rows: u16::from_be_bytes([y0, y1]),
                    n_components,
                });
            }
            position += 2 + usize::from(u16::from_be_bytes([high, low]));
        }
    }
}

/// Largest number of tiles of a JPEG 2000 image. Scanners use one.
const MAX_TILES: u64 = 4096;

/// Decodes a JPEG 2000 image of one component: its samples.
pub(super) fn decode_2000(stream: &[u8], format: &SliceFormat) -> Result<Vec<i32>, Fault> {
    let size = ImageSize::find(stream).ok_or("there is no JPEG 2000 codestream")?;
    if [size.columns, size.rows] != [format.columns, format.rows].map(u64::from) {
        return Err("the JPEG 2000 image is not of the size that the header says".into());
    }
    if size.n_components != 1 {
        return Err(format!("a JPEG 2000 image of {} components, expected 1", size.n_components).into());
    }
    if size.n_tiles > MAX_TILES || size.precision > 24 {
        let found = format!("a JPEG 2000 image of {} tiles and {} bits", size.n_tiles, size.precision);
        return Err(Fault::Unsupported(found));
    }
    let settings = DecodeSettings { resolve_palette_indices: false, strict: true, target_resolution: None };
    let image = Image::new(stream, &settings).map_err(|error| error.to_string())?;
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(|error| error.to_string())?;
    let [component] = decoded.components() else { return Err("a JPEG 2000 image in colour".into()) };
    // The decoder shifts signed samples like unsigned ones.
    let (shift, lowest, highest) = if size.signed {
        let half = 1_i32 << (size.precision - 1);
        (half, -half, half - 1)
    } else {
        (0, 0, (1_i32 << size.precision) - 1)
    };
    let sample = |&value: &f32| (value.round_ties_even() as i32 - shift).clamp(lowest, highest);
    Ok(component.samples().iter().map(sample).collect())
}

/// Parameters of the SIZ segment of a JPEG 2000 codestream.
struct ImageSize {
    columns: u64,
    rows: u64,
    n_tiles: u64,
    n_components: u16,
    precision: u32,
    signed: bool,
}

impl ImageSize {
    fn find(stream: &[u8]) -> Option<Self> {
        // The codestream may be wrapped in JP2 boxes, which are short.
        let head = &stream[..stream.len().min(4096)];
        let start = head.windows(4).position(|window| window == [0xff, 0x4f, 0xff, 0x51])?;
        let siz = stream.get(start + 8..)?;
        let words: Vec<u64> =
            siz.as_chunks::<4>().0.iter().take(8).map(|&w| u32::from_be_bytes(w).into()).collect();
        let &[x, y, x_offset, y_offset, tile_x, tile_y, tile_x_offset, tile_y_offset] = words.as_slice()
        else {
            return None;
        };
        let &[c0, c1, depth, ..] = siz.get(32..)? else { return None };
        let tiles = |end: u64, offset: u64, tile: u64| -> Option<u64> {
            Some(end.checked_sub(offset)?.div_ceil(tile.max(1)))
        };
        Some(Self {
            columns: x.checked_sub(x_offset)?,
            rows: y.checked_sub(y_offset)?,
            n_tiles: tiles(x, tile_x_offset, tile_x)?.checked_mul(tiles(y, tile_y_offset, tile_y)?)?,
            n_components: u16::from_be_bytes([c0, c1]),
            precision: u32::from(depth & 0x7f) + 1,
            signed: depth & 0x80 != 0,
        })
    }
}
