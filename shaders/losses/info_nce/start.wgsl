// info_nce: the sum of a row starts with its positive, s_i = query_i·key_i / τ.

@group(0) @binding(1) var<storage, read> query: array<V>;
@group(0) @binding(2) var<storage, read> key: array<V>;

fn start(i: u32) -> vec3<f32> {
    var s = 0.0;
    for (var at = i * p.vectors; at < (i + 1u) * p.vectors; at++) {
        s += dot_v(query[at], key[at]);
    }
    s *= p.inverse_temperature;
    return vec3<f32>(s, 1.0, s);
}
