//! What a loss over rows brings to the walk: its names, its WGSL pieces, and what they have.

use crate::device::Piece;

/// Names of a loss's op, kernels and gradient.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) op: &'static str,
    pub(crate) forward: &'static str,
    pub(crate) reduce: &'static str,
    pub(crate) grad: &'static str,
}

/// [`Names`] of an op.
macro_rules! names {
    ($op:literal) => {
        $crate::kernels::row_loss::Names {
            op: $op,
            forward: concat!($op, ".forward"),
            reduce: concat!($op, ".reduce"),
            grad: concat!($op, ".grad"),
        }
    };
}
pub(crate) use names;

/// The pieces of a loss and what they bring.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Rows of logits that are normalised first.
    pub sources: u32,
    /// Whether there are terms.
    pub terms: bool,
    /// Whether slopes need numbers that the forward keeps.
    pub keeps: bool,
    /// How many inputs, from the first on, have a gradient.
    pub slopes: usize,
    /// A row counts as much in the mean as its class weighs: labels are input 1, class weights input 2.
    pub by_class: bool,
    /// Operations an element of the forward.
    pub flops: u64,
    /// By unit (vec4, scalar) and lanes of a row (1, 64).
    pub forward: [[&'static [Piece]; 2]; 2],
    /// By unit and by what the cotangent belongs to (loss, losses).
    pub grad: [[&'static [Piece]; 2]; 2],
}

/// The pieces of a [`Rule`] from the paths of a loss's own.
macro_rules! rule_pieces {
    (@forward $v:literal, $unit:literal, $lanes:literal, $($path:literal),*) => {
        &[
            $crate::piece!("common/index.wgsl"),
            $crate::piece!($v),
            $crate::piece!($unit),
            $crate::piece!($lanes),
            $crate::piece!("core/row_loss/shift.wgsl"),
            $($crate::piece!($path),)*
            $crate::piece!("core/row_loss/forward.wgsl"),
        ]
    };
    (@grad $v:literal, $unit:literal, $of:literal, $($path:literal),*) => {
        &[
            $crate::piece!("common/index.wgsl"),
            $crate::piece!($v),
            $crate::piece!($unit),
            $crate::piece!($of),
            $($crate::piece!($path),)*
            $crate::piece!("core/row_loss/grad.wgsl"),
        ]
    };
    (@both $kind:ident, $a:literal, $b:literal, $($path:literal),*) => {
        [
            $crate::kernels::row_loss::rule_pieces!(
                @unit $kind, "common/vec4.wgsl", "core/row_loss/of_vec4.wgsl", $a, $b, $($path),*
            ),
            $crate::kernels::row_loss::rule_pieces!(
                @unit $kind, "common/scalar.wgsl", "core/row_loss/of_scalar.wgsl", $a, $b, $($path),*
            ),
        ]
    };
    (@unit $kind:ident, $v:literal, $unit:literal, $a:literal, $b:literal, $($path:literal),*) => {
        [
            $crate::kernels::row_loss::rule_pieces!(@$kind $v, $unit, $a, $($path),*),
            $crate::kernels::row_loss::rule_pieces!(@$kind $v, $unit, $b, $($path),*),
        ]
    };
    (forward: $($path:literal),*) => {
        $crate::kernels::row_loss::rule_pieces!(
            @both forward, "core/row_loss/lanes_1.wgsl", "core/row_loss/lanes_64.wgsl", $($path),*
        )
    };
    (grad of $loss:literal: $($path:literal),*) => {
        $crate::kernels::row_loss::rule_pieces!(@both grad, $loss, "core/row_loss/of_losses.wgsl", $($path),*)
    };
}
pub(crate) use rule_pieces;

/// A [`Rule`]: `rule!(Mean, sources 1, terms false, keeps true, slopes 1, flops 4; "losses/gce/row.wgsl", …)`. The first word
/// says what the losses of the rows become: the mean under the weights (`Mean`), the same where a row counts as much as
/// its class weighs (`MeanByClass`), or their sum (`Sum`).
macro_rules! rule {
    (@grad Sum, $($path:literal),*) => {
        $crate::kernels::row_loss::rule_pieces!(grad of "core/row_loss/of_sum.wgsl": $($path),*)
    };
    (@grad $reduce:ident, $($path:literal),*) => {
        $crate::kernels::row_loss::rule_pieces!(grad of "core/row_loss/of_loss.wgsl": $($path),*)
    };
    (@by_class MeanByClass) => { true };
    (@by_class $reduce:ident) => { false };
    ($reduce:ident, sources $sources:literal, terms $terms:literal, keeps $keeps:literal, slopes $slopes:literal,
     flops $flops:literal; $($path:literal),*) => {
        $crate::kernels::row_loss::Rule {
            sources: $sources,
            terms: $terms,
            keeps: $keeps,
            slopes: $slopes,
            by_class: $crate::kernels::row_loss::rule!(@by_class $reduce),
            flops: $flops,
            forward: $crate::kernels::row_loss::rule_pieces!(forward: $($path),*),
            grad: $crate::kernels::row_loss::rule!(@grad $reduce, $($path),*),
        }
    };
}
pub(crate) use rule;
