//! Where the values and keys of a document stand in its text.
//!
//! **Invariant:** it takes space in proportion to the document, however long its keys are.

use std::collections::BTreeMap;

use super::diagnostic::Place;

/// The places of a document, as a tree beside its value.
#[derive(Clone, Debug, Default)]
pub struct Places {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
struct Node {
    key: Option<Place>,
    value: Place,
    keys: BTreeMap<String, usize>,
    items: Vec<usize>,
}

impl Places {
    /// Adds the document's own value.
    pub(super) fn add_root(&mut self, value: Place) -> usize {
        self.add(None, value)
    }

    /// Adds the value under a key of the map `parent`.
    pub(super) fn add_key(
        &mut self,
        parent: usize,
        key: String,
        at_key: Place,
        value: Place,
    ) -> usize {
        let node = self.add(Some(at_key), value);
        self.nodes[parent].keys.insert(key, node);
        node
    }

    /// Adds the next element of the list `parent`.
    pub(super) fn add_item(&mut self, parent: usize, value: Place) -> usize {
        let node = self.add(None, value);
        self.nodes[parent].items.push(node);
        node
    }

    /// How many values are known.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The place of the value at `path` (`faults[0].when`), or of the nearest thing around it.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Place> {
        let (node, rest) = self.nearest(path)?;
        // What is missing is shown at the key of the map that lacks it.
        Some(if rest.is_empty() { node.value } else { node.key.unwrap_or(node.value) })
    }

    /// The place of the key at `path`, or of the nearest thing around it.
    #[must_use]
    pub fn find_key(&self, path: &str) -> Option<Place> {
        let (node, _) = self.nearest(path)?;
        Some(node.key.unwrap_or(node.value))
    }

    /// The node that `path` leads to as far as it goes, and the rest of the path.
    fn nearest<'p>(&self, path: &'p str) -> Option<(&Node, &'p str)> {
        let mut node = self.nodes.first()?;
        let mut rest = path;
        while let Some((next, after)) = self.step(node, rest) {
            (node, rest) = (next, after);
        }
        Some((node, rest))
    }

    /// One step down along `path`: the child, and what is left of the path. A key may itself hold
    /// dots and brackets, so the longest key that fits is taken.
    fn step<'a, 'p>(&'a self, node: &'a Node, path: &'p str) -> Option<(&'a Node, &'p str)> {
        if let Some(rest) = path.strip_prefix('[') {
            let (index, after) = rest.split_once(']')?;
            let child = *node.items.get(index.parse::<usize>().ok()?)?;
            return Some((&self.nodes[child], after));
        }
        let path = path.strip_prefix('.').unwrap_or(path);
        let ends = path
            .char_indices()
            .filter(|(_, c)| matches!(c, '.' | '['))
            .map(|(index, _)| index)
            .chain([path.len()]);
        let mut found = None;
        for end in ends.filter(|end| *end > 0) {
            if let Some(child) = node.keys.get(&path[..end]) {
                found = Some((&self.nodes[*child], &path[end..]));
            }
        }
        found
    }

    fn add(&mut self, key: Option<Place>, value: Place) -> usize {
        self.nodes.push(Node { key, value, keys: BTreeMap::new(), items: Vec::new() });
        self.nodes.len() - 1
    }
}
