//! Groups of modules that reach each other along arrows.

use std::collections::{BTreeMap, BTreeSet};

use super::source::ModulePath;

pub(super) type Modules<'a> = BTreeSet<&'a ModulePath>;
pub(super) type Arrows<'a> = BTreeMap<&'a ModulePath, Modules<'a>>;

/// Groups of modules that reach each other without a module on top of them all.
pub(super) fn circles_among<'a>(modules: &Modules<'a>, arrows: &Arrows<'a>) -> Vec<Modules<'a>> {
    let mut circles = Vec::new();
    for group in groups(modules, arrows) {
        match top_of(group.iter().copied()) {
            Some(top) => {
                let below = group.into_iter().filter(|module| *module != top).collect();
                circles.extend(circles_among(&below, arrows));
            }
            None => circles.push(group),
        }
    }
    circles
}

/// The module that all the others are below.
fn top_of<'a>(modules: impl Iterator<Item = &'a ModulePath> + Clone) -> Option<&'a ModulePath> {
    let mut tops = modules.clone();
    tops.find(|top| modules.clone().all(|module| module.starts_with(top)))
}

/// Groups of two or more modules that all reach each other along arrows between `modules`.
fn groups<'a>(modules: &Modules<'a>, arrows: &Arrows<'a>) -> Vec<Modules<'a>> {
    let reached: Arrows<'a> =
        modules.iter().map(|module| (*module, reached_from(module, modules, arrows))).collect();
    let mut groups = Vec::new();
    let mut rest = modules.clone();
    while let Some(first) = rest.pop_first() {
        let with_first =
            |other: &&'a ModulePath| reached[first].contains(other) && reached[other].contains(first);
        let mut group: Modules<'a> = rest.iter().copied().filter(with_first).collect();
        rest.retain(|module| !group.contains(module));
        group.insert(first);
        if group.len() > 1 {
            groups.push(group);
        }
    }
    groups
}

fn reached_from<'a>(start: &'a ModulePath, modules: &Modules<'a>, arrows: &Arrows<'a>) -> Modules<'a> {
    let (mut reached, mut open) = (Modules::new(), vec![start]);
    while let Some(module) = open.pop() {
        let next = arrows[module].iter().copied().filter(|to| modules.contains(to));
        open.extend(next.filter(|to| reached.insert(to)));
    }
    reached
}

/// The shortest way from a module back to it, with that module at both ends, that has no module on top of all.
pub(super) fn shortest_round<'a>(modules: &Modules<'a>, arrows: &Arrows<'a>) -> Vec<&'a ModulePath> {
    let mut ways: Vec<Vec<&ModulePath>> = modules.iter().map(|module| vec![*module]).collect();
    // A way of n + 1 modules passes through one of them twice.
    for _ in 0..modules.len() {
        let mut longer = Vec::new();
        for way in &ways {
            let next = way.last().map(|last| &arrows[*last]).into_iter().flatten();
            for to in next.copied().filter(|to| modules.contains(to)) {
                let whole = [way.as_slice(), &[to]].concat();
                if to == way[0] && top_of(way.iter().copied()).is_none() {
                    return whole;
                }
                if !way.contains(&to) {
                    longer.push(whole);
                }
            }
        }
        ways = longer;
    }
    Vec::new()
}
