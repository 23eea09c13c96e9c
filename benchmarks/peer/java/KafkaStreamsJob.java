import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;
import org.msgpack.core.MessageBufferPacker;
import org.msgpack.core.MessagePack;
import org.msgpack.core.MessageUnpacker;

/**
 * The peer job on Kafka Streams: one thread, RocksDB, changelog. It does what work.py does and writes the same bytes:
 * a state is MessagePack, its lines kept as the bytes they came as.
 */
public final class KafkaStreamsJob {
  private static final String STORE = "orders";
  private static final JsonFactory JSON = new JsonFactory();

  /** The newest known version of one object. */
  private record Part(String kind, int version, long amount, boolean cancelled, byte[] lines) {}

  /** What is read of an event; the rest of it is skipped. */
  private record Event(String object, Part part) {
    static Event read(byte[] value) throws IOException {
      String object = null;
      String kind = null;
      int version = 0;
      long amount = 0;
      boolean cancelled = false;
      byte[] lines = null;
      try (JsonParser parser = JSON.createParser(value)) {
        parser.nextToken();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
          switch (parser.currentName()) {
            case "object" -> object = parser.nextTextValue();
            case "kind" -> kind = parser.nextTextValue();
            case "version" -> version = parser.nextIntValue(0);
            case "amount" -> amount = parser.nextLongValue(0);
            case "cancelled" -> cancelled = parser.nextBooleanValue();
            case "lines" -> {
              parser.nextToken();
              int from = (int) parser.currentTokenLocation().getByteOffset();
              parser.skipChildren();
              lines = Arrays.copyOfRange(value, from, (int) parser.currentLocation().getByteOffset());
            }
            default -> {
              parser.nextToken();
              parser.skipChildren();
            }
          }
        }
      }
      return new Event(object, new Part(kind, version, amount, cancelled, lines));
    }
  }

  /** One order. */
  private static final class State {
    private String status = "open";
    private long invoiced;
    private long paid;
    private long credited;
    private final Map<String, Part> objects = new HashMap<>();

    static State read(byte[] held) throws IOException {
      State state = new State();
      if (held == null) {
        return state;
      }
      try (MessageUnpacker in = MessagePack.newDefaultUnpacker(held)) {
        in.unpackArrayHeader();
        state.status = in.unpackString();
        state.invoiced = in.unpackLong();
        state.paid = in.unpackLong();
        state.credited = in.unpackLong();
        for (int left = in.unpackMapHeader(); left > 0; left--) {
          String object = in.unpackString();
          in.unpackArrayHeader();
          String kind = in.unpackString();
          int version = in.unpackInt();
          long amount = in.unpackLong();
          boolean cancelled = in.unpackBoolean();
          state.objects.put(
              object, new Part(kind, version, amount, cancelled, in.readPayload(in.unpackBinaryHeader())));
        }
      }
      return state;
    }

    byte[] write(MessageBufferPacker out) throws IOException {
      out.clear();
      out.packArrayHeader(5).packString(status).packLong(invoiced).packLong(paid).packLong(credited);
      out.packMapHeader(objects.size());
      for (Map.Entry<String, Part> entry : objects.entrySet()) {
        Part part = entry.getValue();
        out.packString(entry.getKey()).packArrayHeader(5).packString(part.kind).packInt(part.version);
        out.packLong(part.amount).packBoolean(part.cancelled).packBinaryHeader(part.lines.length);
        out.addPayload(part.lines);
      }
      return out.toByteArray();
    }

    /** Keeps the event if it is the newest version of its object; false when it changes nothing. */
    boolean merge(Event event) {
      Part known = objects.get(event.object);
      if (known != null && known.version >= event.part.version) {
        return false;
      }
      objects.put(event.object, event.part);
      return true;
    }

    /** Sets totals and status from the objects; true when a total changed. */
    boolean recompute() {
      long nowInvoiced = 0;
      long nowPaid = 0;
      long nowCredited = 0;
      boolean cancelled = false;
      boolean shipped = false;
      for (Part part : objects.values()) {
        switch (part.kind) {
          case "order" -> cancelled = part.cancelled;
          case "shipment" -> shipped = true;
          case "invoice" -> nowInvoiced += part.cancelled ? 0 : part.amount;
          case "payment" -> nowPaid += part.cancelled ? 0 : part.amount;
          case "credit" -> nowCredited += part.cancelled ? 0 : part.amount;
          default -> throw new IllegalStateException(part.kind);
        }
      }
      boolean changed = nowInvoiced != invoiced || nowPaid != paid || nowCredited != credited;
      invoiced = nowInvoiced;
      paid = nowPaid;
      credited = nowCredited;
      if (cancelled) {
        status = "cancelled";
      } else if (invoiced > 0 && paid + credited >= invoiced) {
        status = "settled";
      } else if (paid > 0) {
        status = "part-paid";
      } else if (shipped) {
        status = "shipped";
      } else {
        status = invoiced > 0 ? "invoiced" : "open";
      }
      return changed;
    }

    byte[] command(byte[] key) {
      String order = new String(key, StandardCharsets.UTF_8);
      String told =
          "{\"order\":\"" + order + "\",\"status\":\"" + status + "\",\"invoiced\":" + invoiced + ",\"paid\":" + paid
              + ",\"credited\":" + credited + "}";
      return told.getBytes(StandardCharsets.UTF_8);
    }
  }

  /** One event after the other, as Kafka Streams gives them. */
  private static final class Fold implements Processor<byte[], byte[], byte[], byte[]> {
    private final MessageBufferPacker packer = MessagePack.newDefaultBufferPacker();
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<Bytes, byte[]> store;

    @Override
    public void init(ProcessorContext<byte[], byte[]> given) {
      context = given;
      store = given.getStateStore(STORE);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      Bytes key = Bytes.wrap(record.key());
      try {
        State state = State.read(store.get(key));
        if (!state.merge(Event.read(record.value()))) {
          return;
        }
        boolean told = state.recompute();
        store.put(key, state.write(packer));
        if (told) {
          context.forward(record.withValue(state.command(record.key())));
        }
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }
  }

  private KafkaStreamsJob() {}

  private static Topology topology(String shop, String books, String commands) {
    var bytes = Serdes.ByteArray();
    var held = Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), Serdes.Bytes(), bytes);
    return new Topology()
        .addSource("events", bytes.deserializer(), bytes.deserializer(), shop, books)
        .addProcessor("fold", Fold::new, "events")
        .addStateStore(held.withCachingEnabled(), "fold")
        .addSink("commands", commands, bytes.serializer(), bytes.serializer(), "fold");
  }

  private static Properties settings(Map<String, String> given) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, given.get("bootstrap"));
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, given.get("group"));
    settings.put(StreamsConfig.STATE_DIR_CONFIG, given.get("data"));
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, given.get("commit.ms"));
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L * 1024 * 1024);
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 2_000);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.ACKS_CONFIG), "all");
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), given.get("compression"));
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), given.get("linger.ms"));
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), given.get("batch.bytes"));
    return settings;
  }

  /** Works until the process is told to stop; arguments are name=value. */
  public static void main(String[] words) {
    Map<String, String> given = new HashMap<>();
    for (String word : words) {
      String[] parts = word.split("=", 2);
      given.put(parts[0], parts[1]);
    }
    Topology topology = topology(given.get("shop"), given.get("books"), given.get("commands"));
    KafkaStreams streams = new KafkaStreams(topology, settings(given));
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          Runtime.getRuntime().halt(1);
          return null;
        });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
    streams.start();
  }
}
