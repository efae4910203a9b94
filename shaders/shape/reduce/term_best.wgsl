// A term of a maximum over slices: the best of a slice and its place among all terms.
@group(0) @binding(4) var<storage, read> places: array<u32>;

fn term(o: u32, at: u32, j: u32) -> Acc {
    return vec2<u32>(key(got(x[place(at)], at)), places[at]);
}
