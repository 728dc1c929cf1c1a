#!/bin/sh
# Makes short audio files of many formats with ffmpeg, as seeds of src/audio/tests/mutations.rs: hostile_seeds.sh DIR
set -eu
out=$1
mkdir -p "$out"
make() { # NAME RATE CHANNELS OPTIONS...
    name=$1 rate=$2 channels=$3
    shift 3
    ffmpeg -v error -y -f lavfi -i "aevalsrc=0.4*sin(2*PI*t*(300+800*t)):s=$rate:d=0.3" -ac "$channels" \
        -metadata title="seed $name" "$@" "$out/$name"
}
for codec in pcm_u8 pcm_s16le pcm_s24le pcm_s32le pcm_f32le pcm_f64le pcm_alaw pcm_mulaw adpcm_ms adpcm_ima_wav; do
    make "$codec.wav" 16000 2 -c:a "$codec"
done
for codec in pcm_s8 pcm_s16be pcm_s24be pcm_f32be; do make "$codec.aiff" 11025 1 -c:a "$codec"; done
for codec in pcm_s16be pcm_f32be pcm_mulaw; do make "$codec.au" 8000 2 -c:a "$codec"; done
make mono16.flac 16000 1 -c:a flac -sample_fmt s16
make stereo24.flac 48000 2 -c:a flac -sample_fmt s32
make six.flac 44100 6 -c:a flac
make layer2.mp2 32000 2 -c:a mp2
make cbr.mp3 44100 2 -c:a libmp3lame -b:a 64k
make vbr.mp3 22050 1 -c:a libmp3lame -q:a 6
make bare.mp3 8000 1 -c:a libmp3lame -write_xing 0 -id3v2_version 0
make vorbis.ogg 44100 2 -c:a libvorbis -q:a 1
make vorbis-mono.ogg 16000 1 -c:a libvorbis -q:a 3
make flac.ogg 16000 1 -c:a flac
make opus.ogg 48000 1 -c:a libopus -b:a 24k
make aac.m4a 44100 2 -c:a aac -b:a 64k
make aac-front.m4a 22050 1 -c:a aac -movflags +faststart
make alac.m4a 16000 2 -c:a alac
make adts.aac 32000 1 -c:a aac -f adts
make caf.caf 16000 1 -c:a pcm_s16le
ls "$out" | wc -l
