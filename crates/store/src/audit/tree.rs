//! The Merkle tree over audit records (RFC 6962, section 2.1): one hash stands for all of them in their order, and a few
//! show that one record is among them, or that a later tree holds all of an earlier one.

use sha2::{Digest, Sha256};

pub use super::hash::Hash;
use super::hash::{hash, hashes};

/// What stands before a record that is hashed, and before two hashes: so that none is taken for the other.
const RECORD: u8 = 0;
const PAIR: u8 = 1;
/// Hashes that are taken into a tree together.
pub(super) const AT_ONCE: usize = 1_024;

/// The hash of a record.
pub fn leaf(record: &[u8]) -> Hash {
    hash(RECORD, record)
}

/// The hashes of records, each as [`leaf`] has it, and sooner.
pub fn leaves<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Vec<Hash> {
    hashes(RECORD, records)
}

fn node(left: &Hash, right: &Hash) -> Hash {
    hash(PAIR, [*left, *right].as_flattened())
}

/// What is needed to go on with a tree: the roots of its complete parts, the largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    roots: Vec<Hash>,
}

impl Edge {
    /// Records in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The size, and the roots one after the other, to be kept.
    pub fn to_parts(&self) -> (u64, Vec<u8>) {
        (self.size, self.roots.concat())
    }

    /// What was kept; nothing where it cannot be the edge of a tree.
    pub fn from_parts(size: u64, roots: &[u8]) -> Option<Self> {
        let (roots, rest) = roots.as_chunks::<32>();
        let is_one = rest.is_empty() && roots.len() == size.count_ones() as usize;
        is_one.then(|| Self { size, roots: roots.to_vec() })
    }

    /// Takes in the hash of the next record.
    pub fn push(&mut self, leaf: Hash) {
        let mut whole = leaf;
        // Each part that is now complete joins the one of the same size before it.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                whole = node(&left, &whole);
            }
        }
        self.roots.push(whole);
        self.size += 1;
    }

    /// Takes in the hashes of the records that come next, level by level: those above many are hashed together.
    pub fn extend(&mut self, leaves: Vec<Hash>) {
        let count = leaves.len() as u64;
        let (mut level, mut height, mut roots) = (leaves, 0, Vec::new());
        while !level.is_empty() {
            // A part that waits for the one behind it.
            if (self.size >> height) % 2 == 1 {
                level.splice(..0, self.roots.pop());
            }
            if level.len() % 2 == 1 {
                roots.extend(level.pop());
            }
            level = hashes(PAIR, level.as_flattened().chunks_exact(64));
            height += 1;
        }
        self.roots.extend(roots.into_iter().rev());
        self.size += count;
    }

    /// Takes in a whole part of the tree by its root: the next two to the power of `height` records. `false` where no part of
    /// that height can begin here.
    pub fn push_part(&mut self, height: u32, root: Hash) -> bool {
        let length = 1_u64.checked_shl(height).unwrap_or(0);
        // No record has a number beyond it.
        let has_room = self.size.checked_add(length).is_some_and(|size| size <= i64::MAX.cast_unsigned());
        if length == 0 || !self.size.is_multiple_of(length) || !has_room {
            return false;
        }
        let mut whole = root;
        for _ in 0..(self.size >> height).trailing_ones() {
            if let Some(left) = self.roots.pop() {
                whole = node(&left, &whole);
            }
        }
        self.roots.push(whole);
        self.size += length;
        true
    }

    /// The hash of the whole tree; that of nothing where it is empty.
    pub fn root(&self) -> Hash {
        let joined = self.roots.iter().rev().copied().reduce(|right, left| node(&left, &right));
        joined.unwrap_or_else(|| Sha256::digest([]).into())
    }
}

/// Records that follow each other and are not shown: as few roots as can stand for them.
#[derive(Debug, Default)]
pub struct Covered(Vec<(u64, u32, Hash)>);

impl Covered {
    /// Takes in the next part: the index of its first record, its height and its root. A record alone has height 0.
    pub fn push(&mut self, index: u64, height: u32, root: Hash) {
        self.0.push((index, height, root));
        // Two parts of one height are a part together where the first one begins as such a part does.
        while let [.., (start, one, left), (_, other, right)] = self.0[..]
            && one == other
            && start.is_multiple_of(2 << one)
        {
            self.0.truncate(self.0.len() - 2);
            self.0.push((start, one + 1, node(&left, &right)));
        }
    }

    /// The parts, in their order: index of the first record, height, root. None are left.
    pub fn take(&mut self) -> Vec<(u64, u32, Hash)> {
        std::mem::take(&mut self.0)
    }
}

/// The largest power of two below a size that is at least 2.
fn split(size: usize) -> usize {
    1 << (usize::BITS - 1 - (size - 1).leading_zeros())
}

/// The root of the tree over these leaves.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut edge = Edge::default();
    // Not all at once: a trail may have many millions.
    leaves.chunks(AT_ONCE).for_each(|some| edge.extend(some.to_vec()));
    edge.root()
}

/// The hashes that lead from one leaf to the root, from below. Nothing where there is no such leaf.
pub fn inclusion(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut leaves, mut index, mut path) = (leaves, index, Vec::new());
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if index < left.len() {
            path.push(root(right));
            leaves = left;
        } else {
            index -= left.len();
            path.push(root(left));
            leaves = right;
        }
    }
    path.reverse();
    Some(path)
}

/// Whether a path leads from a leaf at an index to the root of a tree of a size (RFC 9162, section 2.1.3.2).
pub fn is_included(leaf: Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for other in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node(other, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node(&hash, other);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// The hashes which show that the tree of all leaves begins with the tree of the first `before`. Nothing where
/// there are fewer leaves than that, or none.
pub fn consistency(leaves: &[Hash], before: usize) -> Option<Vec<Hash>> {
    if before == 0 || before > leaves.len() {
        return None;
    }
    let (mut leaves, mut before, mut path, mut is_known) = (leaves, before, Vec::new(), true);
    while before < leaves.len() {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if before <= left.len() {
            path.push(root(right));
            leaves = left;
        } else {
            path.push(root(left));
            (leaves, before, is_known) = (right, before - left.len(), false);
        }
    }
    if !is_known {
        path.push(root(leaves));
    }
    path.reverse();
    Some(path)
}

/// Whether a tree begins with an earlier one (RFC 9162, section 2.1.4.2).
pub fn is_consistent(before: (u64, &Hash), now: (u64, &Hash), path: &[Hash]) -> bool {
    let ((first, first_root), (second, second_root)) = (before, now);
    if first == 0 || first > second {
        return false;
    }
    if first == second {
        return path.is_empty() && first_root == second_root;
    }
    let mut path = path.iter();
    let start = if first.is_power_of_two() { Some(first_root) } else { path.next() };
    let Some(start) = start else { return false };
    let (mut at, mut last) = (first - 1, second - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let (mut old, mut new) = (*start, *start);
    for other in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (old, new) = (node(other, &old), node(other, &new));
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            new = node(&new, other);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && old == *first_root && new == *second_root
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records and roots that implementations of RFC 6962 test themselves with.
    const RECORDS: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|at| leaf(&at.to_le_bytes())).collect()
    }

    #[test]
    fn roots_are_those_of_the_standard() {
        let mut edge = Edge::default();
        assert_eq!(
            edge.root().to_vec(),
            bytes("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        );
        for (record, root) in RECORDS.into_iter().zip(ROOTS) {
            edge.push(leaf(&bytes(record)));
            assert_eq!(edge.root().to_vec(), bytes(root), "{}", edge.size());
        }
    }

    #[test]
    fn many_records_make_the_tree_that_they_make_one_by_one() {
        let leaves = leaves(300);
        for (first, second) in [(0, 300), (1, 299), (7, 1), (64, 64), (100, 37), (127, 130), (255, 2), (3, 0)]
        {
            let (mut edge, mut one_by_one) = (Edge::default(), Edge::default());
            edge.extend(leaves[..first].to_vec());
            edge.extend(leaves[first..first + second].to_vec());
            leaves[..first + second].iter().for_each(|leaf| one_by_one.push(*leaf));
            assert_eq!(edge, one_by_one, "{first}, then {second}");
        }
    }

    #[test]
    fn parts_stand_for_the_records_that_they_cover() {
        for size in 0_u64..40 {
            let leaves = leaves(size as usize);
            for (from, to) in (0..=size).flat_map(|from| (from..=size).map(move |to| (from, to))) {
                let (mut edge, mut covered) = (Edge::default(), Covered::default());
                leaves[..from as usize].iter().for_each(|leaf| edge.push(*leaf));
                (from..to).for_each(|at| covered.push(at, 0, leaves[at as usize]));
                let parts = covered.take();
                assert!(parts.len() <= 12, "{from} to {to}: {}", parts.len());
                for (index, height, root) in parts {
                    assert_eq!(index, edge.size());
                    assert!(edge.push_part(height, root), "{from} to {to}");
                }
                leaves[to as usize..].iter().for_each(|leaf| edge.push(*leaf));
                assert_eq!(edge.root(), root(&leaves), "{from} to {to} of {size}");
            }
        }
        let mut edge = Edge::default();
        edge.push([0; 32]);
        assert!(!edge.push_part(1, [1; 32]) && !edge.push_part(64, [1; 32]));
        assert!(edge.push_part(0, [1; 32]));
    }

    #[test]
    fn every_record_is_shown_to_be_there_and_nowhere_else() {
        for size in 1..40 {
            let leaves = leaves(size);
            let root = root(&leaves);
            for index in 0..size {
                let path = inclusion(&leaves, index).unwrap();
                let shows = |leaf, index, size, path: &[Hash]| is_included(leaf, index, size, path, &root);
                let (at, of) = (index as u64, size as u64);
                assert!(shows(leaves[index], at, of, &path), "{index} of {size}");
                assert!(!shows(leaf(b"another"), at, of, &path));
                assert!(!shows(leaves[index], at + 1, of, &path), "{index} of {size}");
                assert!(!shows(leaves[index], at, of, &[path.clone(), vec![root]].concat()));
                assert!(path.is_empty() || !shows(leaves[index], at, of, &path[1..]));
            }
            assert_eq!(inclusion(&leaves, size), None);
        }
    }

    #[test]
    fn every_tree_is_shown_to_begin_with_each_earlier_one_and_with_no_other() {
        for size in 1..40 {
            let leaves = leaves(size);
            let now = root(&leaves);
            for before in 1..=size {
                let old = root(&leaves[..before]);
                let path = consistency(&leaves, before).unwrap();
                let shows = |old: &Hash, path: &[Hash]| {
                    is_consistent((before as u64, old), (size as u64, &now), path)
                };
                assert!(shows(&old, &path), "{before} of {size}");
                assert!(!shows(&leaf(b"another"), &path), "{before} of {size}");
                assert!(!shows(&old, &[path.clone(), vec![old]].concat()));
                assert!(path.is_empty() || !shows(&old, &path[1..]));
            }
            assert_eq!(consistency(&leaves, size + 1), None);
        }
    }
}
