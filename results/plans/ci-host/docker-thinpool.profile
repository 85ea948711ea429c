# LVM extends the pool by this share of its size whenever it is fuller than the threshold.
activation {
	thin_pool_autoextend_threshold=80
	thin_pool_autoextend_percent=20
}
