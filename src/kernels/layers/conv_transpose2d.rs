//! conv_transpose2d: y[n, k, h, w] = Σ_{c, r, s} weight[c, k, r, s] · x[n, c, (h + pad − r·dil) / st, …] where that
//! divides: the gradient of a convolution to its input, with x in the place of the gradient to its output.
//! H = (P − 1)·st − 2·pad + dil·(R − 1) + 1 + output_padding for x of height P. dx is that convolution of dy, and
//! dweight its gradient to the weight. It has no kernels of its own: op, variants and gradient are conv2d.rs's GradInput.

use crate::base::{DType, Error, Result};
use crate::kernels::conv2d::{Conv2d, GradInput};
use crate::kernels::{Case, Fill};
use crate::tape::{Tape, Type, Var};

impl Tape {
    /// Transposed convolution of x [N, C, P, Q] with weight [C, K / groups, R, S]; y [N, K, H, W].
    /// torch.nn.functional.conv_transpose2d without its bias; `output_padding` adds rows and columns at the end that
    /// a stride leaves open, and must be below the stride or the dilation.
    pub fn conv_transpose2d(&mut self, x: Var, weight: Var, conv: Conv2d, output_padding: u32) -> Result<Var> {
        let op = transposed(self.ty(x), self.ty(weight), conv, output_padding)?;
        self.apply1(op, &[weight, x])
    }
}

/// The convolution whose gradient to its input is the transposed convolution of x with weight.
fn transposed(x: Type, weight: Type, conv: Conv2d, output_padding: u32) -> Result<GradInput> {
    const OP: &str = "conv_transpose2d";
    x.expect_float(OP, "x")?;
    weight.expect_dtype(OP, "weight", x.dtype)?;
    let [n, c, p, q] = x.shape.nchw(OP, "x")?;
    let [wc, k, r, s] = weight.shape.nchw(OP, "weight")?;
    let bad = |need: &str| Err(Error::shapes(OP, ("x", x.shape), ("weight", weight.shape), need));
    if c != wc {
        return bad("x's second dimension and the weight's first (input channels) must be equal");
    }
    if [n, c, p, q, k, r, s, conv.stride as usize, conv.dilation as usize, conv.groups as usize].contains(&0) {
        return bad("every size, the stride, the dilation and the groups must be at least 1");
    }
    if output_padding >= conv.stride.max(conv.dilation) {
        let need = format!("output_padding {output_padding} must be below the stride or the dilation");
        return bad(&need);
    }
    let [stride, padding, dilation] = [conv.stride, conv.padding, conv.dilation].map(|v| v as usize);
    let length = |p: usize, r: usize| {
        ((p - 1) * stride + dilation * (r - 1) + 1 + output_padding as usize).checked_sub(2 * padding)
    };
    match (length(p, r), length(q, s)) {
        (Some(h @ 1..), Some(w @ 1..)) => Ok(GradInput { conv, x: Type::f32([n, k * conv.groups as usize, h, w]) }),
        _ => bad(&format!("a padding of {padding} leaves nothing of the output")),
    }
}

/// Named cases; the inputs are (weight, x), as the op binds them.
pub fn cases() -> Vec<Case> {
    let of = |dtype, name, x: [usize; 4], w: [usize; 4], conv: Conv2d, output_padding| {
        let (x, w) = (Type { shape: x.into(), dtype }, Type { shape: w.into(), dtype });
        let op = transposed(x, w, conv, output_padding);
        op.ok().map(|op| Case::new(name, op, vec![(w, Fill::Normal), (x, Fill::Normal)]))
    };
    let case = |name, x, w, conv, output_padding| of(DType::F32, name, x, w, conv, output_padding);
    let plain = Conv2d::new;
    let grouped = Conv2d { groups: 3, ..Conv2d::new(2, 1) };
    let list = [
        case("one", [1, 1, 1, 1], [1, 1, 1, 1], plain(1, 0), 0),
        case("doubling 4x4/2", [2, 6, 5, 4], [6, 5, 4, 4], plain(2, 1), 0),
        case("3x3", [2, 5, 7, 6], [5, 11, 3, 3], plain(1, 1), 0),
        case("3x3/2 with output padding", [2, 5, 4, 3], [5, 7, 3, 3], plain(2, 1), 1),
        case("primes", [3, 7, 5, 3], [7, 11, 3, 2], plain(1, 1), 0),
        case("groups", [1, 6, 4, 5], [6, 2, 3, 3], grouped, 1),
        case("dilated", [1, 3, 5, 4], [3, 4, 2, 3], Conv2d { dilation: 2, ..plain(1, 0) }, 0),
        of(DType::F16, "f16, 3x3/2 with output padding", [2, 5, 4, 3], [5, 7, 3, 3], plain(2, 1), 1),
        case("stride past the window", [1, 2, 4, 3], [2, 3, 2, 2], plain(3, 0), 2),
    ];
    list.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_possible() {
        assert_eq!(cases().len(), 9);
    }

    #[test]
    fn mistakes_are_named() {
        let (x, w) = (Type::f32([1, 3, 4, 4]), Type::f32([3, 2, 3, 3]));
        let wrong = |conv, extra| transposed(x, w, conv, extra).unwrap_err().to_string();
        assert!(wrong(Conv2d::new(2, 1), 2).contains("output_padding 2"));
        assert!(wrong(Conv2d::new(1, 9), 0).contains("leaves nothing"));
        assert!(transposed(x, Type::f32([2, 2, 3, 3]), Conv2d::new(1, 0), 0).is_err());
    }
}
