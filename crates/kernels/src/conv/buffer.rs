//! Memory for maps and weights: aligned, zeroed, in huge pages where the system has them.

#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::MmapMut;

/// Below this many bytes huge pages bring nothing.
const HUGE_BYTES: usize = 4 << 20;

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
        let n_bytes = len.checked_mul(size_of::<f32>()).expect("no buffer is larger than the address space");
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

    /// The numbers.
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

    /// How many numbers.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
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

/// A hint: a system that refuses it loses time, not results.
#[cfg(target_os = "linux")]
fn advise_huge(map: &MmapMut) {
    drop(map.advise(Advice::HugePage));
}

#[cfg(not(target_os = "linux"))]
fn advise_huge(_map: &MmapMut) {}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.len);
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
        let mut buffer = Self::zeroed(values.len());
        buffer.as_mut_slice().copy_from_slice(values);
        buffer
    }
}
