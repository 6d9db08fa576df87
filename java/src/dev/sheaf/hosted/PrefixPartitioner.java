package dev.sheaf.hosted;

import org.apache.spark.Partitioner;

/**
 * Sends a frame to the partition that the first four bytes of its key mean: the hash of Hadoop's
 * BinaryPartitioner over them, so that one task program serves both engines.
 */
public final class PrefixPartitioner extends Partitioner {
  private static final long serialVersionUID = 1;
  private static final int PREFIX_BYTES = 4;

  private final int partitions;

  public PrefixPartitioner(int partitions) {
    this.partitions = partitions;
  }

  @Override
  public int numPartitions() {
    return partitions;
  }

  @Override
  public int getPartition(Object key) {
    byte[] bytes = (byte[]) key;
    int hash = 1;
    for (int at = 0; at < PREFIX_BYTES; at++) hash = 31 * hash + bytes[at];
    return (hash & Integer.MAX_VALUE) % partitions;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof PrefixPartitioner && ((PrefixPartitioner) other).partitions == partitions;
  }

  @Override
  public int hashCode() {
    return partitions;
  }
}
