//! Bit reader of a scan. A byte of seven bits follows each 0xFF byte.

use super::JpegLsFault;

/// Reads the bits of a scan, most significant bit first.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Prefetched bits, left-aligned.
    ahead: u64,
    n_ahead: u32,
    after_ones: bool,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, ahead: 0, n_ahead: 0, after_ones: false }
    }

    fn refill(&mut self) {
        while self.n_ahead <= 48 {
            let Some((&byte, rest)) = self.bytes.split_first() else { return };
            // A byte above 0x7f after 0xff is a marker: the end of the scan.
            if self.after_ones && byte > 0x7f {
                self.bytes = &[];
                return;
            }
            let width = if self.after_ones { 7 } else { 8 };
            self.ahead |= u64::from(byte) << (64 - width - self.n_ahead);
            self.n_ahead += width;
            self.after_ones = byte == 0xff;
            self.bytes = rest;
        }
    }

    /// The next `n` bits, at most 32.
    pub(super) fn take(&mut self, n: u32) -> Result<u32, JpegLsFault> {
        if n == 0 {
            return Ok(0);
        }
        if self.n_ahead < n {
            self.refill();
            if self.n_ahead < n {
                return Err(JpegLsFault::Truncated);
            }
        }
        let value = (self.ahead >> (64 - n)) as u32;
        self.ahead <<= n;
        self.n_ahead -= n;
        Ok(value)
    }

    /// Counts the zeros before the next one bit and consumes both. More than `limit` zeros are an error.
    pub(super) fn zeros(&mut self, limit: u32) -> Result<u32, JpegLsFault> {
        let mut n_zeros = 0;
        loop {
            if self.n_ahead == 0 {
                self.refill();
                if self.n_ahead == 0 {
                    return Err(JpegLsFault::Truncated);
                }
            }
            let run = self.ahead.leading_zeros().min(self.n_ahead);
            n_zeros += run;
            if n_zeros > limit {
                return Err(JpegLsFault::Damaged("a code that is too long"));
            }
            if run < self.n_ahead {
                self.ahead = self.ahead.checked_shl(run + 1).unwrap_or(0);
                self.n_ahead -= run + 1;
                return Ok(n_zeros);
            }
            self.ahead = 0;
            self.n_ahead = 0;
        }
    }
}
