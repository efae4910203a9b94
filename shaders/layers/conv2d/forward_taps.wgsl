// How conv2d forward finds what core/gemm/stage_taps.wgsl asks for, behind layers/conv2d/forward.wgsl. The weight is packed as
// [K / 4, C / $BK, R, S, $BK] vec4 of four output channels, in the order of k.

// What a step of the walk means: where a and the block of channels begin, and the tap.
struct Tap { a: u32, block: u32, r: u32, s: u32 }

// A column under a tap: where it reads the first of its channels, or 0 where the tap lies in the border.
struct Near { at: u32, inside: bool }

fn tap_at(k0: u32) -> Tap {
    let tap = k0 / $BK % ($R * $S);
    let block = k0 / ($BK * $R * $S) * $BK * p.h * p.w;
    return Tap(k0, block, tap / $S * p.dilation, tap % $S * p.dilation);
}

fn quad_of(quad: u32) -> u32 {
    return quad * p.k;
}

// The column as an invocation reads it that stages this channel of each block.
fn deeper(column: Column, channel: u32) -> Column {
    return Column(column.first + channel * p.h * p.w, column.top, column.left);
}

fn near(column: Column, tap: Tap) -> Near {
    let inside = (column.top + tap.r < p.h) & (column.left + tap.s < p.w);
    return Near(select(0u, column.first + (tap.block + tap.r * p.w + tap.s), inside), inside);
}

fn b_near(spot: Near, channel: u32) -> f32 {
    return select(0.0, b_get(spot.at + channel * (p.h * p.w)), spot.inside);
}
