// The part of one sample that a workgroup owns, for ops that treat samples differently and their elements alike: 256
// units (vec4 where a sample is whole vec4) in a row; a sample is p.chunks such parts. The twin is Spans of
// src/kernels/core/tiles.rs. It needs `p.samples`, `p.units` and `p.chunks` of the kernel.

struct Span { sample: u32, base: u32, start: u32, end: u32 }

// The surplus of a folded grid owns nothing; its sample is one that exists.
fn span_of(group: u32) -> Span {
    let sample = min(group / p.chunks, p.samples - 1u);
    let start = group % p.chunks * 256u;
    let end = select(0u, min(start + 256u, p.units), group < p.samples * p.chunks);
    return Span(sample, sample * p.units, start, end);
}
