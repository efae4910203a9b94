//! What the compiler of the driver in use says of a kernel that was timed: figures beside its time, in a bench, a profile
//! and a watch. `lab::statistics` asks it.

use crate::device::tie::Made;
use serde::{Deserialize, Serialize};

/// A compiler's figures of a kernel. One that its driver does not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// The kernel: an entry may launch several.
    pub kernel: String,
    /// The kernel's variant.
    pub variant: String,
    /// Vector registers of an invocation.
    pub registers: Option<u64>,
    /// Registers that are kept in memory because there are too few.
    pub spills: Option<u64>,
    /// The most subgroups of the kernel that a SIMD unit can have in flight.
    pub waves: Option<u64>,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: Option<u64>,
    /// Instructions of the whole text.
    pub instructions: Option<u64>,
    /// Multiply-adds' share of the vector cycles of the loop that has the most of them, where the assembly can be read.
    pub fma_share: Option<f64>,
    /// The compiler's estimate of one invocation's time, in cycles.
    pub latency: Option<u64>,
    /// The compiler's estimate of the cycles that a subgroup keeps its units busy.
    pub inverse_throughput: Option<u64>,
    /// Why there is no figure: the compiler refused the kernel or ended over it.
    pub failed: Option<String>,
}

impl Figures {
    /// Of the kernels that one entry launches, the one that a table shows: the one with the most registers.
    pub fn shown(all: &[Figures]) -> Option<&Figures> {
        all.iter().max_by_key(|f| f.registers)
    }

    /// What decides between candidates whose times are equal, of all kernels that one of them launches.
    pub fn together(all: &[Figures]) -> Made {
        let of = |figure: fn(&Figures) -> Option<u64>| all.iter().map(figure).collect::<Option<Vec<u64>>>();
        let sum = |list: Vec<u64>| list.iter().sum();
        Made { spills: of(|f| f.spills).map(sum), waves: of(|f| f.waves).and_then(|list| list.into_iter().min()) }
    }

    /// The heads of a table's columns, in the order of [`Figures::cells`].
    pub const HEADS: [&'static str; 5] = ["registers", "spills", "waves", "instructions", "fma"];

    /// Its cells in a table. `None` is a row of which a compiler says nothing.
    pub fn cells(of: Option<&Figures>) -> [String; 5] {
        let shown = |v: Option<u64>| v.map_or("-".to_string(), |v| v.to_string());
        let none = Figures::default();
        let f = of.unwrap_or(&none);
        let fma = f.fma_share.map_or("-".to_string(), |share| format!("{:.0} %", 100.0 * share));
        [shown(f.registers), shown(f.spills), shown(f.waves), shown(f.instructions), fma]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_of_a_candidate_count_together() {
        let of = |spills, waves| Figures { spills, waves, ..Figures::default() };
        let [a, b] = [of(Some(1), Some(16)), of(Some(2), None)];
        let both = Figures::together(&[a.clone(), b]);
        assert_eq!(both, Made { spills: Some(3), waves: None });
        assert_eq!(Figures::together(&[a]), Made { spills: Some(1), waves: Some(16) });
    }
}
