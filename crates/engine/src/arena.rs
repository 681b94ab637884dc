//! Memory planning: offsets of feature maps in one arena.

use std::ops::Range;

/// Size of a map and its lifetime in steps.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    pub(crate) len: usize,
    /// First step that writes it.
    pub(crate) from: usize,
    /// Last step that reads it.
    pub(crate) to: usize,
}

/// Alignment of offsets in elements: one page.
const ALIGN: usize = 1024;

/// Assigns an offset to each need so that maps with overlapping lifetimes do not overlap in memory. Returns
/// the offsets and the total length. Places the largest maps first, each at the lowest offset that is free
/// during its lifetime.
///
/// The largest come first, each at the lowest place that is free while it is needed.
pub(crate) fn place(needs: &[Need]) -> (Vec<Range<usize>>, usize) {
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(needs[i].len), i));
    let mut placed: Vec<(usize, Range<usize>)> = Vec::new();
    for i in order {
        let need = &needs[i];
        let mut taken: Vec<Range<usize>> = placed
            .iter()
            .filter(|(other, _)| needs[*other].from <= need.to && need.from <= needs[*other].to)
            .map(|(_, range)| range.clone())
            .collect();
        taken.sort_by_key(|range| range.start);
        let mut start = 0;
        for range in taken {
            if start + need.len <= range.start {
                break;
            }
            start = start.max(range.end.next_multiple_of(ALIGN));
        }
        placed.push((i, start..start + need.len));
    }
    let end = placed.iter().map(|(_, range)| range.end).max().unwrap_or(0);
    placed.sort_by_key(|(i, _)| *i);
    (placed.into_iter().map(|(_, range)| range).collect(), end)
}

/// Borrows `write` mutably and `reads` immutably. All `reads` must be disjoint from `write`.
///
/// # Panics
/// If a read range overlaps the write range, or overlaps another read range without being equal to it.
pub(crate) fn carve<'a>(
    arena: &'a mut [f32],
    write: &Range<usize>,
    reads: &[Range<usize>],
) -> (&'a mut [f32], Vec<&'a [f32]>) {
    let (before, rest) = arena.split_at_mut(write.start);
    let (target, after) = rest.split_at_mut(write.len());
    let (before, after): (&'a [f32], &'a [f32]) = (before, after);
    let read = |range: &Range<usize>| {
        if range.end <= write.start {
            &before[range.clone()]
        } else {
            assert!(range.start >= write.end, "a map is read while it is written");
            &after[range.start - write.end..range.end - write.end]
        }
    };
    let reads = reads.iter().map(read).collect();
    (target, reads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_of_one_time_do_not_overlap() {
        // A chain with a skip connection from first to last, and lengths that invite reuse.
        let needs: Vec<Need> = (0..40)
            .map(|i| Need {
                len: 1 + i * 7919 % 5000,
                from: i,
                to: if i % 5 == 0 { 39 } else { i + 1 + i % 3 },
            })
            .collect();
        let (places, len) = place(&needs);
        for (i, a) in needs.iter().enumerate() {
            assert_eq!(places[i].len(), a.len);
            for (j, b) in needs.iter().enumerate().skip(i + 1) {
                let together = a.from <= b.to && b.from <= a.to;
                let overlap = places[i].start < places[j].end && places[j].start < places[i].end;
                assert!(!(together && overlap), "maps {i} and {j} overlap");
            }
        }
        assert!(len < needs.iter().map(|need| need.len).sum(), "nothing was reused");
    }

    #[test]
    fn reads_on_both_sides_of_the_write() {
        let mut arena: Vec<f32> = (0..10_u8).map(f32::from).collect();
        let (target, reads) = carve(&mut arena, &(4..6), &[0..2, 7..10, 0..2]);
        target.fill(0.0);
        assert_eq!(reads, [&[0.0, 1.0][..], &[7.0, 8.0, 9.0], &[0.0, 1.0]]);
        assert_eq!(arena[3..7], [3.0, 0.0, 0.0, 6.0]);
    }
}
