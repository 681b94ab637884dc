//! Memory for maps and weights: aligned, zeroed, in huge pages where the system has them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::MmapMut;
use rayon::prelude::*;

/// Below this many bytes huge pages bring nothing.
const HUGE_BYTES: usize = 4 << 20;
/// Numbers that a thread sets to zero at a time.
const FILL: usize = 1 << 18;
/// Bytes of memory given back that are kept for the next buffers: those of a training step.
const KEPT_BYTES: usize = 256 << 20;

/// Large buffers that were given back, the oldest first. A training step needs the same ones as the one
/// before it, and to get zeroed pages from the system takes as long as some of its convolutions.
static KEPT: Mutex<VecDeque<MmapMut>> = Mutex::new(VecDeque::new());

/// Zeroed numbers that start on a page boundary.
///
/// The first touch of every 4 KiB page costs more than the work on a large map; Linux is asked for
/// 2 MiB pages instead.
pub struct Buffer {
    map: Option<MmapMut>,
    len: usize,
}

impl Buffer {
    /// `len` zeros.
    ///
    /// # Panics
    /// If the system refuses the memory, as a failed allocation does.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        match take_kept(bytes(len)) {
            Some(map) => {
                let mut buffer = Self { map: Some(map), len };
                buffer.as_mut_slice().par_chunks_mut(FILL).for_each(|chunk| chunk.fill(0.0));
                buffer
            }
            None => Self::new(len),
        }
    }

    /// Creates a buffer of `len` elements with unspecified contents, for callers that overwrite all of them.
    ///
    /// # Panics
    /// As [`Buffer::zeroed`].
    #[must_use]
    pub fn unspecified(len: usize) -> Self {
        take_kept(bytes(len)).map_or_else(|| Self::new(len), |map| Self { map: Some(map), len })
    }

    /// Zeros in memory from the system.
    fn new(len: usize) -> Self {
        let n_bytes = bytes(len);
        if n_bytes == 0 {
            return Self { map: None, len: 0 };
        }
        let map =
            MmapMut::map_anon(n_bytes).unwrap_or_else(|error| panic!("{n_bytes} bytes of memory: {error}"));
        if n_bytes >= HUGE_BYTES {
            advise_huge(&map);
        }
        Self { map: Some(map), len }
    }

    /// The elements.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        self.map.as_ref().map_or(&[], |map| &bytemuck::cast_slice(map)[..self.len])
    }

    /// The numbers, to write.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        let len = self.len;
        self.map.as_mut().map_or(&mut [], |map| &mut bytemuck::cast_slice_mut(map)[..len])
    }

    /// Number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the buffer is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes room for at least `len` numbers; what was there is lost if that takes new memory.
    pub fn grow(&mut self, len: usize) {
        if len > self.len {
            *self = Self { map: None, len: 0 }; // give the old memory back first
            *self = Self::zeroed(len);
        }
    }
}

fn bytes(len: usize) -> usize {
    len.checked_mul(size_of::<f32>()).expect("no buffer is larger than the address space")
}

/// Kept memory of at least `n_bytes` and not much more.
fn take_kept(n_bytes: usize) -> Option<MmapMut> {
    if n_bytes < HUGE_BYTES {
        return None;
    }
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = |map: &MmapMut| map.len() >= n_bytes && map.len() / 2 <= n_bytes;
    let (best, _) = kept.iter().enumerate().filter(|(_, map)| fits(map)).min_by_key(|(_, map)| map.len())?;
    kept.remove(best)
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(map) = self.map.take_if(|map| (HUGE_BYTES..=KEPT_BYTES).contains(&map.len())) else {
            return;
        };
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.iter().map(|map| map.len()).sum::<usize>() + map.len() > KEPT_BYTES {
            kept.pop_front();
        }
        kept.push_back(map);
    }
}

/// A hint: a system that refuses it loses time, not results.
#[cfg(target_os = "linux")]
fn advise_huge(map: &MmapMut) {
    drop(map.advise(Advice::HugePage));
}

#[cfg(not(target_os = "linux"))]
fn advise_huge(_map: &MmapMut) {}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::unspecified(self.len);
        copy.as_mut_slice().copy_from_slice(self.as_slice());
        copy
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} numbers)", self.len)
    }
}

impl From<&[f32]> for Buffer {
    fn from(values: &[f32]) -> Self {
        let mut buffer = Self::unspecified(values.len());
        buffer.as_mut_slice().copy_from_slice(values);
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_used_before_is_zeroed() {
        let len = HUGE_BYTES / size_of::<f32>() + 3;
        for _ in 0..3 {
            let mut buffer = Buffer::zeroed(len);
            assert_eq!(buffer.len(), len);
            assert!(buffer.as_slice().iter().all(|&x| x == 0.0));
            buffer.as_mut_slice().fill(1.0);
        }
        let kept = || KEPT.lock().unwrap().iter().map(|map| map.len()).sum::<usize>();
        drop(Buffer::unspecified(KEPT_BYTES / size_of::<f32>() + 1));
        assert!(kept() <= KEPT_BYTES, "{} bytes kept", kept());
    }
}
