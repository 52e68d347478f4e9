// latency.go - how long a request to a goroutine server takes while two goroutines compute without pause
// on the same Ps: the median, the 99th percentile and the 99.9th.
//
// The client is a process of its own, since Go has no thread that needs no P; its one thread takes the
// steps of client_main in latency.c by system calls that Go's scheduler does not see. The server reads
// from sockets that Go's poller knows, as Go's programs do.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	sockets  = 16
	interval = 250 * time.Microsecond
	firstFD  = 3 // of the client's sockets
)

// --- the server

func serve(file *os.File, left *sync.WaitGroup) {
	var request [8]byte

	for {
		if _, err := io.ReadFull(file, request[:]); err != nil {
			break
		}
		if _, err := file.Write(request[:]); err != nil {
			panic(err)
		}
	}
	file.Close()
	left.Done()
}

// --- the client

type pollFD struct {
	fd              int32
	events, revents int16
}

func rawCall(number uintptr, fd int32, bytes *byte, size int) int {
	n, _, err := syscall.RawSyscall(number, uintptr(fd), uintptr(unsafe.Pointer(bytes)),
		uintptr(size))
	if err != 0 {
		panic(err)
	}
	return int(n)
}

func takeAnswers(fds []pollFD, began time.Time, times []int64) []int64 {
	var sentAt [64 * 8]byte

	for i := range fds {
		if fds[i].revents == 0 {
			continue
		}
		n := rawCall(syscall.SYS_READ, fds[i].fd, &sentAt[0], len(sentAt))
		now := int64(time.Since(began))
		if n == 0 || n%8 != 0 {
			panic("half an answer")
		}
		for j := 0; j < n; j += 8 {
			times = append(times, now-int64(binary.LittleEndian.Uint64(sentAt[j:])))
		}
	}
	return times
}

// client prints a line when the last request has been sent, and then the times.
func client(count int) {
	runtime.LockOSThread()
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	syscall.RawSyscall(syscall.SYS_PRCTL, 29 /* PR_SET_TIMERSLACK */, 1, 0)
	fds := make([]pollFD, sockets)
	for i := range fds {
		fds[i] = pollFD{fd: int32(firstFD + i), events: 1 /* POLLIN */}
	}
	times := make([]int64, 0, count)
	began, sent, next := time.Now(), 0, time.Duration(0)
	for len(times) < count {
		for ; sent < count && time.Since(began) >= next; next += interval {
			var now [8]byte
			binary.LittleEndian.PutUint64(now[:], uint64(time.Since(began)))
			rawCall(syscall.SYS_WRITE, fds[sent%sockets].fd, &now[0], len(now))
			sent++
			if sent == count {
				fmt.Println("sent")
			}
		}
		wait := next - time.Since(began)
		if sent == count {
			wait = time.Minute
		}
		if wait > 0 {
			pause := syscall.NsecToTimespec(int64(wait))
			n, _, err := syscall.RawSyscall6(syscall.SYS_PPOLL,
				uintptr(unsafe.Pointer(&fds[0])), sockets,
				uintptr(unsafe.Pointer(&pause)), 0, 0, 0)
			if err == 0 && n > 0 {
				times = takeAnswers(fds, began, times)
			}
		}
	}
	benchSort(times)
	fmt.Println(times[count/2], times[count*99/100], times[count*999/1000])
}

// --- both

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "client" {
		count, err := strconv.Atoi(os.Args[2])
		must(err)
		client(count)
		return
	}
	count := benchCount(4000)
	loops := make([]loop, 2)
	var left sync.WaitGroup

	left.Add(sockets)
	cmd := exec.Command("/proc/self/exe", "client", strconv.Itoa(int(count)))
	cmd.Stderr = os.Stderr
	for i := 0; i < sockets; i++ {
		pair, err := syscall.Socketpair(syscall.AF_UNIX,
			syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		must(err)
		must(syscall.SetNonblock(pair[1], true)) // the poller takes it then
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(pair[0]), "client"))
		go serve(os.NewFile(uintptr(pair[1]), "server"), &left)
	}
	output, err := cmd.StdoutPipe()
	must(err)
	time.Sleep(10 * time.Millisecond) // all of them wait for requests
	loopsStart(loops)
	must(cmd.Start())
	for _, file := range cmd.ExtraFiles {
		file.Close()
	}
	var sent string
	var p50, p99, p999 int64
	_, err = fmt.Fscanln(output, &sent)
	must(err)
	atomic.StoreInt32(&loopsOver, 1)
	_, err = fmt.Fscanln(output, &p50, &p99, &p999)
	must(err)
	must(cmd.Wait())
	left.Wait()
	loopsEnd(loops)
	fmt.Printf("BenchmarkLatencyLoop-%d\t%d\t%d p50-ns\t%d p99-ns\t%d p99.9-ns\n",
		runtime.GOMAXPROCS(0), count, p50, p99, p999)
}
