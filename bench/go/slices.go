// slices.go - four goroutines that compute without pause, for a second: how much the least and the most
// favoured of them got done, in percent of an equal share.
package main

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

func main() {
	length := benchCount(1000)
	loops := make([]loop, 4)
	done := make([]int64, len(loops))
	total := int64(0)

	loopsStart(loops)
	time.Sleep(100 * time.Millisecond) // all of them had a turn
	for i := range loops {
		done[i] = int64(atomic.LoadUint64(&loops[i].rounds))
	}
	time.Sleep(time.Duration(length) * time.Millisecond)
	for i := range loops {
		done[i] = int64(atomic.LoadUint64(&loops[i].rounds)) - done[i]
		total += done[i]
	}
	loopsEnd(loops)
	benchSort(done)
	equal := float64(total) / float64(len(loops))
	fmt.Printf("BenchmarkSlicesLoop-%d\t%d\t%.1f share-min-%%\t%.1f share-max-%%\n",
		runtime.GOMAXPROCS(0), length, 100*float64(done[0])/equal,
		100*float64(done[len(done)-1])/equal)
}
