//! How a convolution is computed: the routes of its three passes. This file alone says which variants a pass has, and in
//! which order for an adapter and a shape, what workspace each needs, and which launches it records. The routes lead to
//! conv2d_gather.rs (with conv2d_taps.rs), strided.rs, conv2d_pack.rs and conv2d_winograd.rs.

use crate::base::{DType, Error, Result};
use crate::device::Caps;
use crate::kernels::conv2d_gather::Gathered;
use crate::kernels::conv2d_pass::{Direction, Pass, Sizes};
use crate::kernels::conv2d_taps::{self as taps, Taps};
use crate::kernels::conv2d_winograd::{Formed, Winograd};
use crate::kernels::epilogue::Ending;
use crate::kernels::strided::Strided;
use crate::kernels::{conv2d_pack as packed, gemm};
use crate::tape::{Emit, Type};

/// How a variant computes a pass.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Route {
    /// A sum for each output, without a product's tiles.
    Direct,
    /// A product over operands that are gathered where they lie.
    Gather,
    /// A product of matrices that lie in memory already: the weight with each image.
    Matrices(Strided),
    /// A product over packed operands, for a software adapter whose subgroups have so many lanes.
    Pack {
        /// Lanes of a subgroup.
        lanes: u32,
    },
    /// Products of transformed windows, one for each of their places.
    Winograd(Formed),
}

impl Pass {
    /// The pass as a product of the weight with each image, where it is one and its planes fill tiles: 1×1, stride 1, no
    /// border.
    fn matrices(&self) -> Option<Strided> {
        let Sizes { n: z, c, h, w, k, .. } = self.sizes;
        let (m, k, a) = match self.direction {
            Direction::Forward => (k, c, [0, c, 1]),
            Direction::GradInput => (c, k, [0, 1, c]),
            Direction::GradWeight => return None,
        };
        let n = h * w;
        let Sizes { r, s, stride, padding, groups, .. } = self.sizes;
        let is_product = (r, s, stride, padding, groups) == (1, 1, 1, 0, 1);
        let fills_tiles = 4 * n >= 3 * n.next_multiple_of(64) && n.is_multiple_of(4);
        (is_product && fills_tiles).then_some(Strided { z, m, n, k, a, b: [k * n, n, 1] })
    }

    /// Whether a GPU has so much to do that a launch more does not show: a few µs, beside 100 on one of 10 TFLOP/s.
    fn pays_a_launch(&self, caps: &Caps) -> bool {
        let Sizes { n, c, k, r, s, p, q, .. } = self.sizes;
        !caps.software && 2 * (n * k * p * q) * (c * r * s) >= 1 << 30
    }

    fn winograd(&self) -> Option<Winograd> {
        match self.direction {
            Direction::Forward => Winograd::forward(&self.sizes),
            Direction::GradInput => Winograd::grad_input(&self.sizes),
            Direction::GradWeight => None,
        }
    }

    /// The variants on an adapter and their routes, the one expected to be fastest first.
    fn routes(&self, caps: &Caps) -> Vec<(&'static str, Route)> {
        if self.operands == DType::F16 {
            return gemm::half_variants(caps).into_iter().map(|v| (v, Route::Gather)).collect();
        }
        let (Sizes { c, k, dilation, groups, .. }, (m, n, _)) = (self.sizes, self.mnk());
        let (matrices, plain) = (self.matrices(), gemm::variants(m, n, caps));
        let products = matrices.map_or(plain.clone(), |of| of.with_aligned(plain));
        let route = |variant| match (variant, gemm::lanes(caps), matrices) {
            // Packed operands know one group and neighbouring taps.
            ("broadcast", Some(lanes), _) => (groups == 1 && dilation == 1).then_some(Route::Pack { lanes }),
            ("naive", ..) | (_, _, None) => Some(Route::Gather),
            (_, _, Some(of)) => Some(Route::Matrices(of)),
        };
        let mut routes: Vec<_> = products.into_iter().filter_map(|v| Some((v, route(v)?))).collect();
        if Taps::of(self).is_some_and(|taps| taps.packed().bytes() <= caps.binding_bytes) {
            let at = if self.pays_a_launch(caps) { 0 } else { routes.len() - 1 };
            routes.insert(at, (taps::VARIANT, Route::Gather));
        }
        // Behind what is sure to be fast, before the naive variant: a race decides.
        let naive = routes.len() - 1;
        let winograd = self.winograd().map_or(Vec::new(), |w| w.variants(caps));
        routes.splice(naive..naive, winograd.into_iter().map(|(v, formed)| (v, Route::Winograd(formed))));
        // With few channels in a group a tile of a product would be mostly empty. What wins over tiles elsewhere knows one
        // group.
        let narrow = groups > 1 && (gemm::broadcasts(caps) || c.min(k) / groups < 8);
        routes.insert(if narrow { 0 } else { routes.len() - 1 }, ("direct", Route::Direct));
        routes
    }

    /// The route of a variant, or an error that says which there are.
    fn route(&self, variant: &str, caps: &Caps) -> Result<Route> {
        let routes = self.routes(caps);
        match routes.iter().find(|r| r.0 == variant) {
            Some((_, route)) => Ok(*route),
            None => {
                let there: Vec<&str> = routes.iter().map(|r| r.0).collect();
                let [name, _] = self.direction.names();
                Err(Error::Failed(format!("{name} has no variant {variant} here; it has {}", there.join(", "))))
            }
        }
    }

    /// The variants on an adapter, the one expected to be fastest first.
    pub fn variants(&self, caps: &Caps) -> Vec<&'static str> {
        self.routes(caps).into_iter().map(|r| r.0).collect()
    }

    /// What a variant needs while it runs; of one that is not there nothing, since [`Pass::emit`] refuses it.
    pub fn workspace(&self, variant: &str, caps: &Caps) -> Vec<Type> {
        match self.route(variant, caps) {
            Ok(Route::Direct) | Err(_) => Vec::new(),
            Ok(Route::Gather) => Gathered::new(self).workspace(variant),
            Ok(Route::Matrices(of)) => of.workspace(variant),
            Ok(Route::Pack { lanes }) => packed::workspace(self, lanes),
            Ok(Route::Winograd(w)) => w.workspace(caps),
        }
    }

    /// Records the launches of the variant of `e`.
    pub fn emit(&self, e: &mut Emit<'_>, ending: &Ending) -> Result<()> {
        let (slots, [name, sum]) = (self.direction.slots(), self.direction.names());
        match self.route(e.variant, e.caps)? {
            Route::Direct => Gathered::new(self).emit_direct(e, ending),
            Route::Gather => Gathered::new(self).emit(e, ending),
            Route::Matrices(of) => {
                let kernel = of.kernel(name, e.variant, e.caps);
                of.launch(e, kernel, sum, slots, &ending.repeated(of.m));
            }
            Route::Pack { lanes } => packed::emit(e, self, lanes, ending),
            Route::Winograd(w) => w.emit(e, (slots[0], slots[1]), ending),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(direction: Direction, operands: DType, [c, k, window, groups]: [usize; 4]) -> Pass {
        let (padding, [h, w]) = (window / 2, [8, 8]);
        let [n, stride, dilation] = [2, 1, 1];
        let sizes = Sizes { n, c, h, w, k, r: window, s: window, p: h, q: w, stride, padding, dilation, groups };
        Pass { sizes, direction, operands }
    }

    /// The order is part of what users see: tables of tuned kernels name candidates in it.
    #[test]
    fn variants_stand_in_the_order_expected_of_an_adapter() {
        use Direction::{Forward, GradInput, GradWeight};
        let (gpu, software) = (Caps::portable(), Caps { software: true, subgroup: Some((8, 8)), ..Caps::portable() });
        let narrow = Caps { binding_bytes: 1 << 10, ..Caps::portable() };
        let (wide, depthwise) = ([16, 16, 3, 1], [16, 16, 3, 16]);
        let of = |d, sizes, caps: &Caps| pass(d, DType::F32, sizes).variants(caps).join(" ");
        for d in [Forward, GradInput] {
            assert_eq!(
                of(d, wide, &gpu),
                "tiled_64 tiled_128 tiled_taps winograd_tiled winograd_4x4_tiled direct naive"
            );
            let winograd = "winograd_broadcast winograd_tiled winograd_4x4_broadcast winograd_4x4_tiled";
            let there = format!("broadcast tiled_64 tiled_128 tiled_taps {winograd} direct naive");
            assert_eq!(of(d, wide, &software), there);
            assert_eq!(
                of(d, wide, &narrow),
                "tiled_64 tiled_128 direct naive",
                "V and the packed weight fit no binding"
            );
            let large = [512, 512, 3, 1];
            assert_eq!(
                of(d, large, &gpu),
                "tiled_64 tiled_128 tiled_taps winograd_tiled winograd_4x4_tiled direct naive"
            );
            let many =
                Pass { sizes: Sizes { n: 32, ..pass(d, DType::F32, large).sizes }, ..pass(d, DType::F32, large) };
            assert_eq!(many.variants(&gpu).first(), Some(&"tiled_taps"), "a launch more does not show");
            assert_eq!(many.variants(&software).first(), Some(&"broadcast"));
        }
        assert_eq!(of(GradWeight, wide, &software), "broadcast tiled_64 tiled_128 direct naive");
        assert_eq!(of(Forward, depthwise, &gpu), "direct tiled_64 tiled_128 naive");
        let four_lanes = Caps { subgroup: Some((4, 4)), ..software.clone() };
        assert!(of(Forward, [32, 32, 3, 4], &software).starts_with("direct"));
        for caps in [&gpu, &four_lanes] {
            assert_eq!(of(Forward, [32, 32, 3, 4], caps), "tiled_64 tiled_128 direct naive");
        }
        assert_eq!(of(Forward, [128, 128, 1, 1], &gpu), "tiled_64 tiled_128 direct naive");
        assert_eq!(pass(Forward, DType::F16, wide).variants(&gpu), ["packed", "naive"]);
    }

    #[test]
    fn a_variant_that_is_not_there_is_refused() {
        let (one, caps) = (pass(Direction::Forward, DType::F32, [16, 16, 3, 1]), Caps::portable());
        let mut e = Emit::apart(&[], &[], "broadcast", &caps);
        let why = one.emit(&mut e, &Ending::NONE).unwrap_err().to_string();
        assert!(why.contains("conv2d.forward has no variant broadcast") && why.contains("winograd_tiled"), "{why}");
        assert!(e.launches.is_empty() && one.workspace("broadcast", &caps).is_empty());
    }
}
