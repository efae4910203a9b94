// The unit a kernel loads where elements are u32: the twin of common/vec4.wgsl for labels and masks.

alias V = vec4<u32>;
