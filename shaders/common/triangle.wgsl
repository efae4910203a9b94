// The bilinear filter with antialias, as PyTorch's: a triangle as wide as two output pixels, or two input pixels where
// those are larger, cut at the window and normalised by whoever sums.

// Where the taps of output `o` of `out` over `n` inputs begin and end; the centre and half-width of the triangle.
struct Taps { first: u32, end: u32, centre: f32, reach: f32 }

fn taps(o: u32, n: u32, out: u32) -> Taps {
    let centre = f32((2u * o + 1u) * n) / f32(2u * out);
    let reach = max(f32(n) / f32(out), 1.0);
    return Taps(u32(max(centre - reach + 0.5, 0.0)), min(u32(centre + reach + 0.5), n), centre, reach);
}

// The weight of input `j`; 0 past the last tap, so that taps may be walked two at a time.
fn weight(j: u32, t: Taps) -> f32 {
    return select(0.0, max(1.0 - abs(f32(j) + 0.5 - t.centre) / t.reach, 0.0), j < t.end);
}
