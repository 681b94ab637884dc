//! Order of computation, and which maps are computed slab by slab.
//!
//! If memory is short, the largest maps never exist as a whole. A *group* computes one slab of its targets (a
//! few depth planes), together with the planes of the preceding maps that the slab depends on, then the next
//! slab. Planes near the border of two slabs are computed twice.

use std::ops::Range;

use crate::arena::Need;
use crate::compiler::Compiler;
use crate::graph::Op;

/// Planes of a map that are computed together.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) node: usize,
    pub(crate) depths: Range<usize>,
    /// The group. `None` for a map that is computed as a whole.
    pub(crate) group: Option<usize>,
    /// First plane of each map of the group that is in memory, by node.
    pub(crate) held_from: Vec<(usize, usize)>,
}

/// A memory block for a map or a slab.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) node: usize,
    /// The group, if the block is for a slab.
    pub(crate) group: Option<usize>,
    /// Capacity in planes.
    pub(crate) planes: usize,
    /// Its lifetime.
    from: usize,
    to: usize,
}

impl Task {
    /// First plane of a node that is in memory.
    pub(crate) fn held_from(&self, node: usize) -> usize {
        self.held_from.iter().find(|(other, _)| *other == node).map_or(0, |(_, from)| *from)
    }
}

impl Held {
    pub(crate) const fn need(&self, len: usize) -> Need {
        Need { len, from: self.from, to: self.to }
    }
}

/// All tasks in order, with their memory blocks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schedule {
    pub(crate) tasks: Vec<Task>,
    pub(crate) held: Vec<Held>,
}

/// Selects the maps that are stored only in slabs.
#[derive(Debug, Clone)]
pub(crate) struct Tiling {
    pub(crate) tiled: Vec<bool>,
    /// Planes of a slab of the targets.
    pub(crate) slab: usize,
}

/// Maps that are computed together, slab by slab.
#[derive(Debug, Clone)]
struct Group {
    /// Maps that are produced whole, all of the same size.
    targets: Vec<usize>,
    /// Maps that are stored only in slabs, in order.
    members: Vec<usize>,
}

impl Schedule {
    pub(crate) fn new(compiler: &Compiler<'_>, tiling: &Tiling) -> Self {
        let groups = groups(compiler, tiling);
        let mut schedule = Self::default();
        let mut time = 0;
        for node in compiler.computed() {
            if tiling.tiled[node] {
                continue;
            }
            match groups.iter().position(|group| group.targets.contains(&node)) {
                None => {
                    schedule.whole(compiler, node, time);
                    time += 1;
                }
                // A group is executed when its last target is due.
                Some(number) if groups[number].targets.last() == Some(&node) => {
                    schedule.group(compiler, tiling, &groups[number], number, time);
                    time += groups[number].members.len() + groups[number].targets.len();
                }
                Some(_) => {}
            }
        }
        if let Some(output) = schedule.find(compiler.output(), None) {
            schedule.held[output].to = usize::MAX;
        }
        schedule
    }

    /// The memory block of a node.
    pub(crate) fn find(&self, node: usize, group: Option<usize>) -> Option<usize> {
        self.held.iter().position(|held| held.node == node && held.group == group)
    }

    /// The memory block of a node from the view of a task.
    pub(crate) fn of(&self, task: &Task, node: usize) -> Option<usize> {
        task.group.and_then(|_| self.find(node, task.group)).or_else(|| self.find(node, None))
    }

    fn whole(&mut self, compiler: &Compiler<'_>, node: usize, time: usize) {
        let planes = compiler.depth(node);
        for (source, _) in compiler.reads(node) {
            self.read(source, None, time);
        }
        self.hold(compiler, node, None, planes, time..time);
        self.tasks.push(Task { node, depths: 0..planes, group: None, held_from: Vec::new() });
    }

    fn group(
        &mut self,
        compiler: &Compiler<'_>,
        tiling: &Tiling,
        group: &Group,
        number: usize,
        start: usize,
    ) {
        let mut order: Vec<usize> = group.members.iter().chain(&group.targets).copied().collect();
        order.sort_unstable();
        let end = start + order.len() - 1;
        let place = |node: usize| order.iter().position(|other| *other == node).unwrap_or(0);
        let depth = compiler.depth(group.targets[0]);
        for first in (0..depth).step_by(tiling.slab) {
            let slab = first..(first + tiling.slab).min(depth);
            let needed = needed(compiler, tiling, &order, &group.targets, &slab);
            let held_from: Vec<(usize, usize)> = order
                .iter()
                .zip(&needed)
                .filter(|(node, _)| tiling.tiled[**node])
                .map(|(node, depths)| (*node, depths.start))
                .collect();
            for (&node, depths) in order.iter().zip(&needed) {
                for (source, _) in compiler.reads(node) {
                    if tiling.tiled[source] {
                        self.read(source, Some(number), start + place(node));
                    } else {
                        self.read(source, None, end); // every slab reads it again
                    }
                }
                if tiling.tiled[node] {
                    let time = start + place(node);
                    self.hold(compiler, node, Some(number), depths.len(), time..time);
                } else {
                    self.hold(compiler, node, None, depth, start..end);
                }
                let held_from = held_from.clone();
                self.tasks.push(Task { node, depths: depths.clone(), group: Some(number), held_from });
            }
        }
    }

    fn hold(
        &mut self,
        compiler: &Compiler<'_>,
        node: usize,
        group: Option<usize>,
        planes: usize,
        time: Range<usize>,
    ) {
        if !compiler.has_map(node) {
            return;
        }
        match self.find(node, group) {
            Some(held) => self.held[held].planes = self.held[held].planes.max(planes),
            None => self.held.push(Held { node, group, planes, from: time.start, to: time.end }),
        }
    }

    fn read(&mut self, node: usize, group: Option<usize>, time: usize) {
        if let Some(held) = self.find(node, group) {
            self.held[held].to = self.held[held].to.max(time);
        }
    }
}

/// Groups maps that read tiled maps. A map joins the preceding group if nothing in between depends on that
/// group.
fn groups(compiler: &Compiler<'_>, tiling: &Tiling) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for node in compiler.computed() {
        if tiling.tiled[node] || !compiler.reads(node).iter().any(|(source, _)| tiling.tiled[*source]) {
            continue;
        }
        let mut members = Vec::new();
        let mut open = vec![node];
        while let Some(next) = open.pop() {
            for (source, _) in compiler.reads(next) {
                if tiling.tiled[source] && !members.contains(&source) {
                    members.push(source);
                    open.push(source);
                }
            }
        }
        let joins = groups.last().is_some_and(|group| {
            let waits =
                |later: usize| compiler.reads(later).iter().any(|(source, _)| group.targets.contains(source));
            compiler.dims[group.targets[0]] == compiler.dims[node]
                && !(group.targets[0]..=node).any(waits)
                && !members.iter().any(|member| waits(*member))
        });
        match groups.last_mut().filter(|_| joins) {
            Some(group) => {
                group.targets.push(node);
                members.retain(|member| !group.members.contains(member));
                group.members.extend(members);
            }
            None => groups.push(Group { targets: vec![node], members }),
        }
    }
    groups
}

/// Planes of each map in `order` that a slab of the targets depends on.
fn needed(
    compiler: &Compiler<'_>,
    tiling: &Tiling,
    order: &[usize],
    targets: &[usize],
    slab: &Range<usize>,
) -> Vec<Range<usize>> {
    let mut needed: Vec<Option<Range<usize>>> =
        order.iter().map(|node| targets.contains(node).then(|| slab.clone())).collect();
    for place in (0..order.len()).rev() {
        let node = order[place];
        let upsampled = compiler.reads(node).iter().any(|(_, upsampled)| *upsampled);
        let step = if upsampled || matches!(compiler.op(node), Op::Upsample { .. }) { 2 } else { 1 };
        // Both planes that one plane of the smaller map represents.
        let depths = needed[place].clone().unwrap_or(0..0);
        let depths = depths.start / step * step..depths.end.next_multiple_of(step);
        needed[place] = Some(depths.clone());
        for (source, upsampled) in compiler.reads(node) {
            let Some(before) = order[..place].iter().position(|other| *other == source) else { continue };
            if !tiling.tiled[source] {
                continue;
            }
            let read = compiler.planes_read(node, source, upsampled, &depths);
            needed[before] = Some(match needed[before].take() {
                None => read,
                Some(other) => other.start.min(read.start)..other.end.max(read.end),
            });
        }
    }
    needed.into_iter().map(|depths| depths.unwrap_or(0..0)).collect()
}
