//! Position embeddings of a vision transformer, resized from one number of patches to another as timm's
//! `resample_abs_pos_embed` does: bicubic with antialiasing (Keys' kernel with a = −1/2). The class token's embedding
//! is not resized.

/// Resizes `values`, the embeddings of `from` tokens of length `width`, to `to` tokens. The patches of both are a
/// square, with or without a class token before them. If only the new tokens have a class token, its embedding is 0, as
/// with timm's `no_embed_class`. `None` if the tokens are no such square.
pub(super) fn resized(values: &[f32], width: usize, from: usize, to: usize) -> Option<Vec<f32>> {
    let ((from_class, from_side), (to_class, to_side)) = (square(from)?, square(to)?);
    if from_class > to_class || values.len() != from * width {
        return None;
    }
    let (class, patches) = values.split_at(from_class * width);
    let taps = taps(from_side, to_side);
    let across: Vec<f64> = patches.chunks_exact(from_side * width).flat_map(|row| along(row, width, &taps)).collect();
    let mut out = vec![0.0; (to_class - from_class) * width];
    out.extend_from_slice(class);
    // The columns: a row of patches counts as one long token.
    let row: Vec<f32> = across.iter().map(|v| *v as f32).collect();
    out.extend(along(&row, to_side * width, &taps).into_iter().map(|v| v as f32));
    Some(out)
}

/// (number of class tokens, patches on a side).
fn square(tokens: usize) -> Option<(usize, usize)> {
    let side = |n: usize| Some(n.isqrt()).filter(|s| *s > 0 && s * s == n);
    match (tokens.checked_sub(1).and_then(side), side(tokens)) {
        (Some(side), _) => Some((1, side)),
        (None, Some(side)) => Some((0, side)),
        (None, None) => None,
    }
}

/// Resizes a row of tokens of length `width`.
fn along(row: &[f32], width: usize, taps: &[(usize, Vec<f64>)]) -> Vec<f64> {
    let mut out = vec![0.0; taps.len() * width];
    for (out, (first, weights)) in out.chunks_exact_mut(width).zip(taps) {
        for (token, weight) in row[first * width..].chunks_exact(width).zip(weights) {
            out.iter_mut().zip(token).for_each(|(sum, v)| *sum += weight * f64::from(*v));
        }
    }
    out
}

/// For each of `to` places: the first of `from` places that counts, and the weights from there on, as in PyTorch's
/// antialiased `interpolate`. To shrink, the kernel is wider by the factor of the sizes.
fn taps(from: usize, to: usize) -> Vec<(usize, Vec<f64>)> {
    let scale = from as f64 / to as f64;
    let wide = scale.max(1.0);
    let one = |i: usize| {
        let centre = scale * (i as f64 + 0.5);
        let first = (centre - 2.0 * wide + 0.5).max(0.0) as usize;
        let end = ((centre + 2.0 * wide + 0.5) as usize).min(from);
        let weights: Vec<f64> = (first..end).map(|j| cubic((j as f64 - centre + 0.5) / wide)).collect();
        let sum: f64 = weights.iter().sum();
        (first, weights.iter().map(|w| w / sum).collect())
    };
    (0..to).map(one).collect()
}

/// Keys 1981, equation 4, with a = −1/2.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    /// timm's numbers; see tests/torch/make_torch.py.
    #[test]
    fn positions_are_resized_as_timm_does() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/torch/positions.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let of = |name: &str| {
            let view = file.tensor(name).unwrap();
            (bytemuck::pod_collect_to_vec::<u8, f32>(view.data()), view.shape().to_vec())
        };
        let names = file.names();
        let (mut tried, mut furthest) = (0, 0f32);
        for from in names.iter().filter_map(|n| n.strip_prefix("from_")) {
            let (values, shape) = of(&format!("from_{from}"));
            for to in names.iter().filter(|n| n.starts_with(&format!("to_{from}_"))) {
                let (due, new) = of(to);
                let got = resized(&values, shape[2], shape[1], new[1]).unwrap();
                assert_eq!(got.len(), due.len(), "{to}");
                let largest = due.iter().fold(0f32, |a, v| a.max(v.abs()));
                let far = got.iter().zip(&due).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
                assert!(far < 2e-6, "{to}: {far:e}"); // timm's sums are f32
                (tried, furthest) = (tried + 1, furthest.max(far));
            }
        }
        assert_eq!(tried, 15);
        println!("furthest from timm, as a share of the largest value: {furthest:e}");
    }

    #[test]
    fn tokens_that_are_no_square_are_not_resized() {
        assert_eq!(resized(&[0.0; 6], 1, 6, 5), None);
        assert_eq!(resized(&[0.0; 5], 1, 5, 6), None);
        assert_eq!(resized(&[0.0; 5], 1, 5, 4), None, "a class token would be lost");
        assert_eq!(resized(&[1.0, 2.0, 3.0, 4.0], 1, 4, 5).unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(resized(&[7.0, 1.0, 2.0, 3.0, 4.0], 1, 5, 5).unwrap(), [7.0, 1.0, 2.0, 3.0, 4.0]);
    }
}
