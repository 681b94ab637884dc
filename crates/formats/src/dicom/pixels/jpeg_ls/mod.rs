//! Decodes JPEG-LS, lossless and near-lossless, one component in one scan.
//!
//! # Reference
//! ITU-T Recommendation T.87 (06/98). Variables have its names. Annex C has the parameters, annexes A and F
//! the decoding.

mod bits;
mod scan;

use scan::{Parameters, Scan};

/// Why a stream cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum JpegLsFault {
    #[error("the JPEG-LS stream breaks off")]
    Truncated,
    #[error("the JPEG-LS stream has {0}, which makes no sense")]
    Damaged(&'static str),
    #[error("the JPEG-LS stream has {0}, which is not read")]
    Unsupported(&'static str),
}

/// Columns, rows and bits per sample of a frame.
#[derive(Debug, Clone, Copy)]
struct Frame {
    columns: u16,
    rows: u16,
    precision: u8,
}

/// Decodes the samples of a stream. The frame must have the `expected` size: columns and rows.
pub(super) fn decode(stream: &[u8], expected: [u16; 2]) -> Result<Vec<u16>, JpegLsFault> {
    let mut rest = stream.strip_prefix(&[0xff, 0xd8]).ok_or(JpegLsFault::Damaged("no start mark"))?;
    let mut frame = None;
    let mut preset = Preset::default();
    loop {
        let (marker, segment, behind) = next_segment(rest)?;
        rest = behind;
        match marker {
            0xf7 => frame = Some(read_frame(segment)?),
            0xf8 => preset = read_preset(segment)?,
            0xdd if segment.iter().any(|&byte| byte != 0) => {
                return Err(JpegLsFault::Unsupported("restart intervals"));
            }
            0xda => {
                preset.near = check_scan(segment)?;
                break;
            }
            0xc0..=0xcf => return Err(JpegLsFault::Damaged("a frame of another kind of JPEG")),
            _ => {}
        }
    }
    let frame = frame.ok_or(JpegLsFault::Damaged("no frame header"))?;
    if [frame.columns, frame.rows] != expected {
        return Err(JpegLsFault::Damaged("a frame that is not of the size that the header says"));
    }
    let parameters = preset.parameters(frame.precision)?;
    Scan::new(parameters, rest).decode(frame.columns.into(), frame.rows.into())
}

/// Marker, content and the remaining bytes.
fn next_segment(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), JpegLsFault> {
    // Any number of fill bytes may precede a marker.
    let n_fill = bytes.iter().take_while(|&&byte| byte == 0xff).count();
    let (fill, rest) = bytes.split_at(n_fill);
    if fill.is_empty() {
        return Err(if bytes.is_empty() {
            JpegLsFault::Truncated
        } else {
            JpegLsFault::Damaged("no marker")
        });
    }
    let (&marker, rest) = rest.split_first().ok_or(JpegLsFault::Truncated)?;
    if marker == 0xd9 {
        return Err(JpegLsFault::Truncated);
    }
    let &[high, low, ..] = rest else { return Err(JpegLsFault::Truncated) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length < 2 {
        return Err(JpegLsFault::Damaged("a segment shorter than its length"));
    }
    let (segment, behind) = rest.split_at_checked(length).ok_or(JpegLsFault::Truncated)?;
    Ok((marker, &segment[2..], behind))
}

fn read_frame(segment: &[u8]) -> Result<Frame, JpegLsFault> {
    let &[precision, y0, y1, x0, x1, n_components, ..] = segment else { return Err(JpegLsFault::Truncated) };
    if n_components != 1 {
        return Err(JpegLsFault::Unsupported("several components"));
    }
    if !(2..=16).contains(&precision) {
        return Err(JpegLsFault::Damaged("a precision outside 2 to 16 bits"));
    }
    let (rows, columns) = (u16::from_be_bytes([y0, y1]), u16::from_be_bytes([x0, x1]));
    if rows == 0 || columns == 0 {
        return Err(JpegLsFault::Unsupported("a frame whose size comes later"));
    }
    Ok(Frame { columns, rows, precision })
}

/// The allowed error of a scan.
fn check_scan(segment: &[u8]) -> Result<u8, JpegLsFault> {
    let &[n_components, _, mapping, near, interleave, transform] = segment else {
        return Err(JpegLsFault::Damaged("a scan header of another length"));
    };
    if n_components != 1 || interleave != 0 {
        return Err(JpegLsFault::Unsupported("several components"));
    }
    if mapping != 0 {
        return Err(JpegLsFault::Unsupported("a mapping table"));
    }
    if transform != 0 {
        return Err(JpegLsFault::Unsupported("a point transform"));
    }
    Ok(near)
}

/// Coding parameters of a stream. 0 means the default.
#[derive(Debug, Clone, Copy, Default)]
struct Preset {
    max_value: u16,
    thresholds: [u16; 3],
    reset: u16,
    near: u8,
}

fn read_preset(segment: &[u8]) -> Result<Preset, JpegLsFault> {
    match segment {
        &[1, m0, m1, a0, a1, b0, b1, c0, c1, r0, r1] => Ok(Preset {
            max_value: u16::from_be_bytes([m0, m1]),
            thresholds: [[a0, a1], [b0, b1], [c0, c1]].map(u16::from_be_bytes),
            reset: u16::from_be_bytes([r0, r1]),
            near: 0,
        }),
        [2 | 3, ..] => Err(JpegLsFault::Unsupported("a mapping table")),
        [4, ..] => Err(JpegLsFault::Unsupported("a frame beyond 65535 rows or columns")),
        _ => Err(JpegLsFault::Damaged("coding parameters of another length")),
    }
}

impl Preset {
    /// The parameters with their defaults (C.2.4.1.1), checked.
    fn parameters(self, precision: u8) -> Result<Parameters, JpegLsFault> {
        let full = (1_i32 << precision) - 1;
        let max_value = if self.max_value == 0 { full } else { i32::from(self.max_value) };
        let near = i32::from(self.near);
        if max_value > full || near > 255.min(max_value / 2) {
            return Err(JpegLsFault::Damaged("a largest value or error beyond its precision"));
        }
        let defaults = default_thresholds(max_value, near);
        let mut thresholds = [0, 1, 2].map(|idx| match self.thresholds[idx] {
            0 => defaults[idx],
            given => i32::from(given),
        });
        let mut lowest = near + 1;
        for threshold in &mut thresholds {
            if *threshold < lowest || *threshold > max_value.max(lowest) {
                return Err(JpegLsFault::Damaged("thresholds out of order"));
            }
            lowest = *threshold;
        }
        let reset = if self.reset == 0 { 64 } else { i32::from(self.reset) };
        if reset < 3 {
            return Err(JpegLsFault::Damaged("a reset after less than 3 samples"));
        }
        Ok(Parameters::new(max_value, near, thresholds, reset))
    }
}

fn default_thresholds(max_value: i32, near: i32) -> [i32; 3] {
    let clamp = |value: i32, low: i32| if value > max_value || value < low { low } else { value };
    let values = if max_value >= 128 {
        let factor = (max_value.min(4095) + 128) / 256;
        [factor + 2 + 3 * near, factor * 4 + 3 + 5 * near, factor * 17 + 4 + 7 * near]
    } else {
        let factor = 256 / (max_value + 1);
        [(3 / factor + 3 * near).max(2), (7 / factor + 5 * near).max(3), (21 / factor + 7 * near).max(4)]
    };
    let first = clamp(values[0], near + 1);
    let second = clamp(values[1], first);
    [first, second, clamp(values[2], second)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of annex H.3: 4 x 4 samples of 8 bits, lossless, with its encoded bytes.
    const EXAMPLE: [u8; 45] = [
        0xff, 0xd8, 0xff, 0xf7, 0x00, 0x0b, 0x08, 0x00, 0x04, 0x00, 0x04, 0x01, 0x01, 0x11, 0x00, 0xff, 0xda,
        0x00, 0x08, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0xc0, 0x00, 0x00, 0x6c, 0x80, 0x20, 0x8e, 0x01, 0xc0,
        0x00, 0x00, 0x57, 0x40, 0x00, 0x00, 0x6e, 0xe6, 0x00, 0x00, 0x01,
    ];
    const EXAMPLE_END: [u8; 6] = [0xbc, 0x18, 0x00, 0x00, 0x05, 0xd8];

    fn example() -> Vec<u8> {
        let tail = [0x00, 0x00, 0x91, 0x60, 0xff, 0xd9];
        [&EXAMPLE[..], &EXAMPLE_END, &tail].concat()
    }

    #[test]
    fn the_published_example_is_decoded() {
        let samples = decode(&example(), [4, 4]).unwrap();
        let expected = [0, 0, 90, 74, 68, 50, 43, 205, 64, 145, 145, 145, 100, 145, 145, 145];
        assert_eq!(samples, expected);
    }

    #[test]
    fn every_truncation_of_the_scan_is_an_error() {
        let whole = example();
        for length in 0..whole.len() - 4 {
            assert!(decode(&whole[..length], [4, 4]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_frame_of_another_size_is_refused_before_it_is_decoded() {
        let found = decode(&example(), [4, 5]).unwrap_err();
        assert!(found.to_string().contains("size that the header says"));
    }

    /// Table C.3 of the recommendation.
    #[test]
    fn default_thresholds_are_those_of_the_recommendation() {
        assert_eq!(default_thresholds(255, 0), [3, 7, 21]);
        assert_eq!(default_thresholds(4095, 0), [18, 67, 276]);
        assert_eq!(default_thresholds(65_535, 0), [18, 67, 276]);
        assert_eq!(default_thresholds(127, 0), [2, 3, 10]);
    }
}
