// How conv2d's gradient to its input finds what core/gemm/stage_taps.wgsl asks for, behind layers/conv2d/grad_input.wgsl.
// The weight is packed as [C / 4, K / $BK, R, S, $BK] vec4 of four input channels; of the taps a phase walks over its own.
// There, a column's end and a tap's reach leave the same rest modulo the stride. So each is divided by itself, the one before the
// walk and the other once a step, and an output is their difference.

// What a step of the walk means: where a begins, by how much b moves, and how far the tap reaches in outputs.
struct Step { a: u32, b: u32, r: u32, s: u32 }

// A column under a tap: where it reads the first of its channels, or 0 where the tap lies in the border.
struct Near { at: u32, inside: bool }

fn tap_at(k0: u32) -> Step {
    let tap = tap_of(k0 / $BK); // its channel is the number of the block
    let a = ((tap.channel * $R + tap.r) * $S + tap.s) * $BK;
    let r = tap.r * p.dilation / $STRIDE;
    let s = tap.s * p.dilation / $STRIDE;
    return Step(a, (tap.channel * $BK * p.p - r) * p.q - s, r, s);
}

fn quad_of(quad: u32) -> u32 {
    return quad * out_channels() * $R * $S;
}

// The column as an invocation reads it that stages this channel of each block: its last output, and where that lies.
fn deeper(column: Column, channel: u32) -> Column {
    let h = column.bottom / $STRIDE;
    let w = column.right / $STRIDE;
    return Column(column.first + (channel * p.p + h) * p.q + w, h, w);
}

fn near(column: Column, tap: Step) -> Near {
    // u32 wraps where a tap lies before the first output.
    let inside = (column.bottom - tap.r < p.p) & (column.right - tap.s < p.q);
    return Near(select(0u, column.first + tap.b, inside), inside);
}

fn b_near(spot: Near, channel: u32) -> f32 {
    return select(0.0, b_get(spot.at + channel * (p.p * p.q)), spot.inside);
}
