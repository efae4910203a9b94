//! The kernels of a whole training step, for a GPU that need not be here.

use super::{Share, Subject};
use crate::base::Result;
use crate::device::Caps;
use crate::kernels::estimate::work;
use crate::kernels::{fuse, listing};
use crate::tape::schedule::Step;
use crate::tape::{Schedule, Tape};

/// The kernels that the recordings of a step launch on [`listing::gpu`] with the variants that come first there, each once, in
/// the order in which they first run. Its case names the layer where that is. The work of an op that launches several is
/// divided among them, so that all shares together are the step.
pub fn of_step(tapes: &[Tape]) -> Result<Vec<Subject>> {
    let caps = listing::gpu();
    let (mut found, mut work): (Vec<Subject>, Vec<[f64; 2]>) = (Vec::new(), Vec::new());
    let mut whole = [0.0; 2];
    for tape in tapes {
        for node in &Schedule::new(tape, &fuse::options(&caps))?.steps {
            let cost = node.cost();
            let cost = [cost.flops as f64, cost.bytes as f64];
            whole = [whole[0] + cost[0], whole[1] + cost[1]];
            for ((launch, _), part) in node.launches.iter().zip(parts(node, &caps)) {
                let at = found.iter().position(|s| s.kernel == launch.kernel).unwrap_or(found.len());
                if at == found.len() {
                    let (entry, case) = (listing::entry_name(node.op.as_ref()), node.layer.clone());
                    found.push(Subject {
                        entry,
                        variant: node.variant,
                        case,
                        kernel: launch.kernel.clone(),
                        share: None,
                    });
                    work.push([0.0; 2]);
                }
                work[at] = [work[at][0] + part[0] * cost[0], work[at][1] + part[1] * cost[1]];
            }
        }
    }
    for (subject, [flops, bytes]) in found.iter_mut().zip(work) {
        subject.share = Some(Share { flops: 100.0 * flops / whole[0], bytes: 100.0 * bytes / whole[1] });
    }
    Ok(found)
}

/// The parts of a node's operations and bytes that each of its launches has: as the model of flops and bytes counts them, since what
/// packs a weight multiplies nothing; evenly where the model does not know one of them.
fn parts(node: &Step, caps: &Caps) -> Vec<[f64; 2]> {
    let launches = node.launches.len();
    let counted = work(node.op.as_ref(), &node.x, node.variant, caps).filter(|counted| counted.len() == launches);
    let counted: Vec<[f64; 2]> = counted.unwrap_or_default().iter().map(|w| [w.flops, w.bytes]).collect();
    let sum = |of: usize| counted.iter().map(|c| c[of]).sum::<f64>();
    let sums = [sum(0), sum(1)];
    let part = |i: usize, of: usize| if sums[of] > 0.0 { counted[i][of] / sums[of] } else { 1.0 / launches as f64 };
    (0..launches).map(|i| [part(i, 0), part(i, 1)]).collect()
}

/// The kernels of the steps of several methods, each once, in the method that has it first, which its case names. A kernel has no
/// share, since each step would have another.
pub fn of_methods(methods: &[(String, Vec<Tape>)]) -> Result<Vec<Subject>> {
    let mut found: Vec<Subject> = Vec::new();
    for (method, tapes) in methods {
        for subject in of_step(tapes)? {
            if found.iter().all(|s| s.kernel != subject.kernel) {
                found.push(Subject { case: format!("{method}: {}", subject.case), share: None, ..subject });
            }
        }
    }
    Ok(found)
}

/// Which of some kernels are the first that do `percent` of the step's operations, or move `percent` of its bytes, the
/// largest first.
pub fn weighty(shares: &[Share], percent: f64) -> Vec<bool> {
    let mut kept = vec![false; shares.len()];
    for of in [|s: &Share| s.flops, |s: &Share| s.bytes] {
        let mut order: Vec<usize> = (0..shares.len()).collect();
        order.sort_by(|a, b| of(&shares[*b]).total_cmp(&of(&shares[*a])));
        let mut sum = 0.0;
        for i in order {
            kept[i] |= sum < percent;
            sum += of(&shares[i]);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::step::TrainingStep;
    use crate::nn::{ResNet, Stem};
    use std::sync::Arc;

    #[test]
    fn a_step_s_kernels_are_listed_once_with_their_work() {
        let model = Arc::new(ResNet::resnet18(Stem::Small, 1.0, 3));
        let step = TrainingStep { model, batch: 64, size: 32, classes: 10, precision: Default::default() };
        let tapes = [step.record().unwrap().0];
        let found = of_step(&tapes).unwrap();
        for (i, subject) in found.iter().enumerate() {
            assert!(found[..i].iter().all(|earlier| earlier.kernel != subject.kernel), "{subject:?}");
        }
        let shares: Vec<Share> = found.iter().map(|s| s.share.unwrap()).collect();
        assert!(
            shares.iter().all(|s| (0.0..=100.0).contains(&s.flops) && (0.0..=100.0).contains(&s.bytes)),
            "{shares:?}"
        );
        let sum = |of: fn(&Share) -> f64| shares.iter().map(of).sum::<f64>();
        for all in [sum(|s| s.flops), sum(|s| s.bytes)] {
            assert!((all - 100.0).abs() < 1e-6, "{all} %");
        }
        let of = |entry: &str| {
            found.iter().zip(&shares).filter(|(s, _)| s.entry == entry).map(|(_, s)| s.flops).sum::<f64>()
        };
        let products = ["conv2d.forward", "conv2d.grad_input", "conv2d.grad_weight"].map(of);
        assert!(products.iter().sum::<f64>() > 90.0 && products[2] > 30.0, "{products:?}");
        // Packing multiplies nothing.
        let packs = found.iter().zip(&shares).filter(|(s, _)| s.kernel.name == "conv2d.pack_weight");
        let packs: Vec<&Share> = packs.map(|(_, share)| share).collect();
        assert!(!packs.is_empty() && packs.iter().all(|s| s.flops == 0.0 && s.bytes < 5.0), "{packs:?}");
        let kept = weighty(&shares, 95.0);
        assert!(kept.iter().any(|k| *k) && !kept.iter().all(|k| *k), "{kept:?}");
        assert!(weighty(&shares, 1e9).iter().all(|k| *k));
        // The second method has no kernel that the first has not.
        let same = tapes.clone();
        let all = of_methods(&[("one".into(), tapes.to_vec()), ("two".into(), same.to_vec())]).unwrap();
        assert_eq!(all.len(), found.len());
        assert!(all.iter().all(|s| s.case.starts_with("one: ") && s.share.is_none()), "{all:?}");
    }
}
