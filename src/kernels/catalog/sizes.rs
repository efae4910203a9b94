//! A case at other sizes: what gives every op random cases and a place in files of benches, for the line that lists it.

use crate::base::Shape;
use crate::base::rng::Rng;
use crate::kernels::{Case, Fill};
use crate::tape::Type;
use crate::tape::record::SCALARS;
use std::collections::BTreeSet;

/// How often other sizes are drawn before an op is said to take none.
const TRIES: usize = 100;

impl Case {
    /// The sizes above 1 of its inputs, each once. Those of a step's scalars are no size of a case.
    pub fn sizes(&self) -> BTreeSet<u32> {
        let shapes = self.inputs.iter().filter(|i| !is_scalars(i.0)).map(|i| i.0.shape);
        shapes.flat_map(|s| s.dims().to_vec()).filter(|d| *d > 1).collect()
    }

    /// The case with `to(n)` in place of every size `n` above 1, so that sizes which are equal stay equal. Labels and indices
    /// stay below the size that they were below. Whether the op takes these sizes is for [`Case::forward`] to say.
    pub fn with_sizes(&self, to: &dyn Fn(u32) -> u32) -> Case {
        let (sizes, mut case) = (self.sizes(), self.clone());
        // The least size that a bound may be meant for, in the case and now.
        let least = |bound: u32| sizes.range(bound..).next().map(|&size| (size, to(size).max(1)));
        for (ty, fill) in &mut case.inputs {
            if !is_scalars(*ty) {
                let dims: Vec<usize> =
                    ty.shape.dims().iter().map(|&d| if d > 1 { to(d) } else { d } as usize).collect();
                ty.shape = Shape::new(&dims);
            }
            match fill {
                Fill::Below(bound) => match least(*bound) {
                    Some((size, now)) if size == *bound => *bound = now,
                    Some((_, now)) => *bound = now.min(*bound),
                    None => {}
                },
                Fill::Words(words) => {
                    let bound = words.iter().max().map_or(0, |w| w.saturating_add(1));
                    if let Some((_, now)) = least(bound) {
                        words.iter_mut().for_each(|w| *w = (*w).min(now - 1));
                    }
                }
                _ => {}
            }
        }
        case
    }

    /// The same op at sizes drawn near those of the case, in the same order of size, so that what is conditioned well stays
    /// so. `None` where the op takes no other sizes, since its own fields say them, and where values were given one by one,
    /// which are meant for the places where they stand.
    pub fn resized(&self, rng: &mut Rng) -> Option<Case> {
        if self.inputs.iter().any(|i| matches!(&i.1, Fill::Values(values) if values.len() > 1)) {
            return None;
        }
        let sizes: Vec<u32> = self.sizes().into_iter().collect();
        for _ in 0..TRIES {
            // Some stay as they are, since an op may hold some of its sizes as fields.
            let one = |&n: &u32| if rng.below(3) == 0 { n } else { near(rng, n) };
            let mut drawn: Vec<u32> = sizes.iter().map(one).collect();
            drawn.sort_unstable();
            if drawn == sizes {
                continue;
            }
            let case = self.with_sizes(&|n| sizes.binary_search(&n).map_or(n, |i| drawn[i]));
            if case.forward().is_ok() {
                return Some(case);
            }
        }
        None
    }
}

/// From half of a size to one and a half of it.
fn near(rng: &mut Rng, n: u32) -> u32 {
    let least = n.div_ceil(2);
    least + rng.below((n + n / 2 + 2 - least) as usize) as u32
}

/// Whether an input is the scalars of a step, whose number is fixed.
fn is_scalars(ty: Type) -> bool {
    ty == Type::f32([SCALARS])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::gather::Gather;

    #[test]
    fn equal_sizes_stay_equal_and_indices_stay_inside() {
        let inputs = vec![
            (Type::f32([7, 5]), Fill::Normal),
            (Type::u32([9]), Fill::Below(7)),
            (Type::f32([SCALARS]), Fill::Normal),
            (Type::u32([1]), Fill::Words(vec![6])),
            (Type::u32([5]), Fill::Below(6)),
        ];
        let case = Case::new("rows", Gather, inputs);
        let other = case.with_sizes(&|n| n - 3);
        let shapes: Vec<Vec<u32>> = other.inputs.iter().map(|i| i.0.shape.dims().to_vec()).collect();
        assert_eq!(shapes, [vec![4, 2], vec![6], vec![SCALARS as u32], vec![1], vec![2]]);
        let fills: Vec<&Fill> = other.inputs.iter().map(|i| &i.1).collect();
        assert_eq!(fills[1], &Fill::Below(4));
        assert_eq!(fills[3], &Fill::Words(vec![3]), "the largest row there is");
        assert_eq!(fills[4], &Fill::Below(4), "6 is no size: the table may be the one of 7 rows, of which 4 are left");
    }

    #[test]
    fn an_op_is_drawn_at_sizes_that_it_takes() {
        let case = Case::new("rows", Gather, vec![(Type::f32([7, 5]), Fill::Normal), (Type::u32([9]), Fill::Below(7))]);
        let mut seen = BTreeSet::new();
        for i in 0..20 {
            let other = case.resized(&mut Rng::new(1, 0, i)).unwrap();
            let (rows, Fill::Below(bound)) = (other.inputs[0].0.shape.dim(0), &other.inputs[1].1) else { panic!() };
            assert_eq!(*bound as usize, rows);
            seen.insert(other.inputs[0].0.shape.dims().to_vec());
        }
        assert!(seen.len() > 10, "{seen:?}");
        let pinned =
            Case::new("none", Gather, vec![(Type::f32([1, 1]), Fill::Normal), (Type::u32([1]), Fill::Below(1))]);
        assert!(pinned.resized(&mut Rng::new(1, 0, 0)).is_none());
    }
}
