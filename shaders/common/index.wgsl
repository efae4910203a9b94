// A dispatch has at most 65,535 workgroups a dimension; longer lists are folded over (x, y) and unfolded here.

fn group_index(wid: vec3<u32>, groups: vec3<u32>) -> u32 {
    return wid.x + wid.y * groups.x;
}
