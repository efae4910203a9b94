// What every kernel of a contrastive loss is told: rows i of a against `others` rows j of b, all of `vectors` units. The
// workgroups are `blocks` of rows times `slices` of the others, `length` of them each.

struct Params {
    rows: u32, others: u32, vectors: u32,
    blocks: u32, slices: u32, length: u32,
    inverse_temperature: f32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
