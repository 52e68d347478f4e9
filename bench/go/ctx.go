// ctx.go - contexts: made and dropped, cancelled with many below, and with goroutines that wait in
// them; groups of goroutines. Go has no group in its standard library: this one does what
// golang.org/x/sync/errgroup does.
package main

import (
	"context"
	"sync"
	"time"
)

const nBelow, nChildren = 1000, 100

func benchMake(count int64) {
	top, cancelTop := context.WithCancel(context.Background())
	start := time.Now()

	for i := int64(0); i < count; i++ {
		_, cancel := context.WithCancel(top)
		cancel()
	}
	benchNS("CtxMake", count, time.Since(start))

	deadline := time.Now().Add(1000 * time.Second)
	start = time.Now()
	for i := int64(0); i < count; i++ {
		_, cancel := context.WithDeadline(top, deadline)
		cancel()
	}
	benchNS("CtxMakeDeadline", count, time.Since(start))
	cancelTop()
}

func benchCancel(rounds int64) {
	var passed time.Duration

	for i := int64(0); i < rounds; i++ {
		top, cancel := context.WithCancel(context.Background())
		var below [nBelow]context.CancelFunc
		for k := range below {
			_, below[k] = context.WithCancel(top)
		}
		start := time.Now()
		cancel()
		passed += time.Since(start)
		for k := range below {
			below[k]()
		}
	}
	benchNS("CtxCancelTree", rounds*nBelow, passed)
}

type group struct {
	wg     sync.WaitGroup
	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	err    error
}

func newGroup() *group {
	g := &group{}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

func (g *group) Go(fn func() error) {
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		if err := fn(); err != nil {
			g.once.Do(func() {
				g.err = err
				g.cancel()
			})
		}
	}()
}

func (g *group) Wait() error {
	g.wg.Wait()
	g.cancel()
	return g.err
}

func benchWaiters(rounds int64) {
	never := make(chan struct{})
	var passed time.Duration

	for i := int64(0); i < rounds; i++ {
		g := newGroup()
		for k := 0; k < nBelow; k++ {
			g.Go(func() error {
				select {
				case <-never:
					return nil
				case <-g.ctx.Done():
					return g.ctx.Err()
				}
			})
		}
		time.Sleep(time.Millisecond) // all of them wait
		start := time.Now()
		g.cancel()
		g.Wait()
		passed += time.Since(start)
	}
	benchNS("CtxCancelWaiters", rounds*nBelow, passed)
}

func benchGroup(rounds int64) {
	start := time.Now()

	for i := int64(0); i < rounds; i++ {
		g := newGroup()
		for k := 0; k < nChildren; k++ {
			g.Go(func() error { return nil })
		}
		g.Wait()
	}
	benchNS("GroupGoWait", rounds*nChildren, time.Since(start))
}

func benchBeside(count int64) {
	c := make(chan int, 1)
	for _, name := range []string{"ChanBesideCancelled", "ChanBesideNone"} {
		start := time.Now()
		for i := int64(0); i < count; i++ {
			c <- 1
			<-c
		}
		benchNS(name, count, time.Since(start))
	}
}

func main() {
	count := benchCount(2000000)

	benchMake(count)
	benchCancel(count/nBelow/2 + 1)
	benchWaiters(count/nBelow/10 + 1)
	benchGroup(count/nChildren + 1)
	benchBeside(5 * count)
}
