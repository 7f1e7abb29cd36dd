//go:build !cuda

package health

func openDriver() (driver, error) { return nil, ErrNotBuilt }
