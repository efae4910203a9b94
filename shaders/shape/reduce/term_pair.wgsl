// A term of a spread over slices: both sums of a slice.
@group(0) @binding(4) var<storage, read> distances: array<f32>;
@group(0) @binding(5) var<storage, read> rough: array<f32>;

fn term(o: u32, at: u32, j: u32) -> Acc {
    return vec2<f32>(got(x[place(at)], at), distances[at]);
}
