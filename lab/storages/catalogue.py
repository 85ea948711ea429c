COMMON = ("loop-lvm", "direct-lvm", "overlay2-ext4")
