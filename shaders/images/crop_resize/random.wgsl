// The window of a sample, drawn as torchvision's RandomResizedCrop draws it, and whether it is mirrored.
// Try t takes block t: area, log of the ratio, top, left; the first that fits inside the image wins; after ten tries
// the centre is taken at the nearest allowed ratio. Block 10 decides the mirror.

@group(0) @binding(4) var<storage, read> scalars: array<f32>;

fn window(sample: u32, view: u32) -> Window {
    let size = f32(p.size);
    let mirror = unit(draw_of(10u, sample, view).x) < p.flip;
    for (var t = 0u; t < 10u; t++) {
        let d = draw_of(t, sample, view);
        let side = size * sqrt(between(p.scale_low, p.scale_high, d.x));
        let stretch = exp(0.5 * between(p.log_ratio_low, p.log_ratio_high, d.y));
        let width = u32(round(side * stretch));
        let height = u32(round(side / stretch));
        if (min(width, height) > 0u && max(width, height) <= p.size) {
            let top = mulhi(d.z, p.size - height + 1u);
            let left = mulhi(d.w, p.size - width + 1u);
            return Window(left, top, width, height, mirror);
        }
    }
    // The image is square, so a ratio range without 1 in it is what cuts a side.
    let width = max(u32(round(size * exp(min(p.log_ratio_high, 0.0)))), 1u);
    let height = max(u32(round(size * exp(min(-p.log_ratio_low, 0.0)))), 1u);
    return Window((p.size - width) / 2u, (p.size - height) / 2u, width, height, mirror);
}
