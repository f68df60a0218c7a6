package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	//nolint:depguard // the yardstick: libp2p itself, with nothing of ours around it
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"    //nolint:depguard // as above
	"github.com/libp2p/go-libp2p/core/network" //nolint:depguard // as above
	"github.com/libp2p/go-libp2p/core/peer"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls" //nolint:depguard // as above
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"          //nolint:depguard // as above
	"github.com/multiformats/go-multiaddr"                   //nolint:depguard // as above
)

const (
	rawProtocol = "/trunkline/bench/1"
	rawBytes    = 2 << 30
	rawWrite    = 128 << 10
)

func rawHost(listen ...string) (host.Host, error) {
	opts := []libp2p.Option{
		libp2p.NoTransports, libp2p.Transport(tcp.NewTCPTransport), libp2p.Security(libp2ptls.ID, libp2ptls.New),
		libp2p.DisableRelay(), libp2p.NoListenAddrs,
	}
	if len(listen) > 0 {
		opts = append(opts[:len(opts)-1], libp2p.ListenAddrStrings(listen...))
	}
	return libp2p.New(opts...)
}

// rawServer writes zeros to whoever opens a stream, until standard input ends.
func rawServer(ctx context.Context) error {
	h, err := rawHost("/ip4/127.0.0.1/tcp/0")
	if err != nil {
		return err
	}
	defer func() { _ = h.Close() }()
	served := make(chan struct{})
	h.SetStreamHandler(rawProtocol, func(s network.Stream) {
		defer close(served)
		defer s.Close()
		buf := make([]byte, rawWrite)
		for sent := 0; sent < rawBytes; sent += rawWrite {
			if _, err := s.Write(buf); err != nil {
				return
			}
		}
	})
	fmt.Printf("%s/p2p/%s\n", h.Addrs()[0], h.ID())
	select {
	case <-served:
		time.Sleep(200 * time.Millisecond) // let the last window drain before the host closes
	case <-ctx.Done():
	}
	return nil
}

// rawStream reads from a raw server in a process of its own: bytes a second, and CPU seconds per GB of both.
func rawStream(ctx context.Context) (rate, cpuPerGB float64, err error) {
	server, out, err := startSelf(ctx, "-raw-server")
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = server.Process.Kill() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return 0, 0, err
	}
	addr, err := multiaddr.NewMultiaddr(strings.TrimSpace(line))
	if err != nil {
		return 0, 0, err
	}
	info, err := peer.AddrInfoFromP2pAddr(addr)
	if err != nil {
		return 0, 0, err
	}
	h, err := rawHost()
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = h.Close() }()
	if err := h.Connect(ctx, *info); err != nil {
		return 0, 0, err
	}
	s, err := h.NewStream(ctx, info.ID, rawProtocol)
	if err != nil {
		return 0, 0, err
	}
	before := ownCPU()
	start := time.Now()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, s, make([]byte, rawWrite))
	wall := time.Since(start)
	if err != nil {
		return 0, 0, err
	}
	mine := ownCPU() - before
	if err := server.Wait(); err != nil {
		return 0, 0, err
	}
	theirs := server.ProcessState.UserTime() + server.ProcessState.SystemTime()
	return float64(n) / wall.Seconds(), (mine + theirs).Seconds() / (float64(n) / 1e9), nil
}

func ownCPU() time.Duration {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		fmt.Fprintln(os.Stderr, "bench: getrusage:", err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
