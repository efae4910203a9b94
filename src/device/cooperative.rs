//! Cooperative matrices: which shapes an adapter reports, which of them kernels may use, and the user's consent to what
//! wgpu calls experimental.

use crate::base::DType;

/// Cooperative matrices that kernels can be written for: side × side operands, sums of side × side in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooperative {
    /// Rows and columns of every matrix.
    pub side: u32,
    /// Elements of the operands, F16 or F32.
    pub operands: DType,
}

/// A reported shape as text.
pub(super) fn shape(p: &wgpu::CooperativeMatrixProperties) -> String {
    format!("{}x{}x{} {:?} to {:?}", p.m_size, p.n_size, p.k_size, p.ab_type, p.cr_type)
}

/// The shapes that an adapter reports, that WGSL can express, and that a kernel is written for.
pub(super) fn usable(reported: &[wgpu::CooperativeMatrixProperties]) -> Vec<Cooperative> {
    use wgpu::CooperativeScalarType::{F16, F32};
    let known = |p: &wgpu::CooperativeMatrixProperties| match (p.m_size, p.n_size, p.k_size, p.ab_type, p.cr_type) {
        (16, 16, 16, F16, F32) => Some(Cooperative { side: 16, operands: DType::F16 }),
        (8, 8, 8, F16, F32) => Some(Cooperative { side: 8, operands: DType::F16 }),
        (8, 8, 8, F32, F32) => Some(Cooperative { side: 8, operands: DType::F32 }),
        _ => None,
    };
    reported.iter().filter_map(known).collect()
}

/// wgpu's token for features it calls experimental.
#[expect(unsafe_code, reason = "the one place: wgpu's way to agree to its experimental features is an unsafe function")]
pub(super) fn experimental() -> wgpu::ExperimentalFeatures {
    // SAFETY: only on the user's explicit wish, and only cooperative matrices are requested with it.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::CooperativeScalarType::{F16, F32, I32};

    #[test]
    fn only_square_shapes_with_f32_sums_are_usable() {
        let reported = |m_size, n_size, k_size, ab_type, cr_type| wgpu::CooperativeMatrixProperties {
            m_size,
            n_size,
            k_size,
            ab_type,
            cr_type,
            saturating_accumulation: false,
        };
        let list = [
            reported(16, 16, 16, F16, F32),
            reported(16, 16, 16, F16, F16),
            reported(8, 16, 16, F16, F32),
            reported(8, 8, 8, F32, F32),
            reported(16, 16, 16, I32, I32),
        ];
        let of = |side, operands| Cooperative { side, operands };
        assert_eq!(usable(&list), [of(16, DType::F16), of(8, DType::F32)]);
        assert_eq!(shape(&list[2]), "8x16x16 F16 to F32");
    }
}
