package main

import (
	"context"
	"errors"
)

func twin(ctx context.Context, args []string) error { return errors.New("not yet") }
