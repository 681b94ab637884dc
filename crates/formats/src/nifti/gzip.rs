//! Multithreaded gzip whose output does not depend on the number of threads.
//!
//! The input is cut into fixed pieces. Each is deflated separately and ends with a sync flush, so that the
//! concatenated pieces are one ordinary deflate stream in one gzip member (like `pigz -i`).

use std::io::{self, Write};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use rayon::prelude::*;

/// Bytes deflated by one task. Changing it changes the compressed bytes.
const PIECE: usize = 1 << 19;

/// Magic, deflate, no flags, no time, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Writes `bytes` as one gzip member. `level` is 0 (store) to 9 (smallest).
pub(super) fn write(output: &mut dyn Write, bytes: &[u8], level: u32) -> io::Result<()> {
    output.write_all(&HEADER)?;
    let mut crc = Crc::new();
    let n_pieces = bytes.len().div_ceil(PIECE).max(1);
    let pieces: Vec<(Vec<u8>, Crc)> = (0..n_pieces)
        .into_par_iter()
        .map(|idx| {
            let end = bytes.len().min((idx + 1) * PIECE);
            let piece = &bytes[idx * PIECE..end];
            let mut crc = Crc::new();
            crc.update(piece);
            deflate(piece, level, idx + 1 == n_pieces).map(|deflated| (deflated, crc))
        })
        .collect::<io::Result<_>>()?;
    for (deflated, piece_crc) in &pieces {
        output.write_all(deflated)?;
        crc.combine(piece_crc);
    }
    output.write_all(&crc.sum().to_le_bytes())?;
    output.write_all(&crc.amount().to_le_bytes())
}

fn deflate(piece: &[u8], level: u32, last: bool) -> io::Result<Vec<u8>> {
    let mut state = Compress::new(Compression::new(level.min(9)), false);
    let flush = if last { FlushCompress::Finish } else { FlushCompress::Sync };
    let mut out = Vec::with_capacity(piece.len() / 2 + 1024);
    loop {
        let consumed = state.total_in() as usize;
        let status = state.compress_vec(&piece[consumed..], &mut out, flush).map_err(io::Error::other)?;
        let all_in = state.total_in() as usize == piece.len();
        // Spare output space after all input is consumed means that the flush is complete.
        if status == Status::StreamEnd || (!last && all_in && out.len() < out.capacity()) {
            return Ok(out);
        }
        out.reserve(out.capacity().max(1024));
    }
}
