"""Front ends, a file each: their layers, described without torch. `space.FRONT_ENDS` names them."""
